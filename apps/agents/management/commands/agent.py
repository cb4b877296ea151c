"""`manage.py agent`: agents from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone

from apps.access.command import PanelCommand
from apps.access.errors import NotFound
from apps.access.spelling import closest
from apps.agents.models import Agent
from apps.agents.presence import agent_badge, is_online
from apps.agents.services import agent_code_issue, agent_create, agent_revoke
from apps.agents.services.enrol import CODE_LASTS

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from apps.access.actor import Actor


class Command(PanelCommand):
    help = "Agents: list them, make one, give out a code with which a machine enrols, take its key away."
    examples = """
        manage.py agent list
        manage.py agent add web1 --note "in the DMZ, site B"
        manage.py agent code web1              for one machine, once, within half an hour
        manage.py agent revoke web1            its line is closed at once
    """

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="list|add|code|revoke")
        for name, text in (
            ("list", "every agent and whether it is there"),
            ("add", "make an agent, and print a code for its machine"),
            ("code", "print a new code; a former one is void"),
            ("revoke", "its key and its code are void from now on"),
        ):
            act = acts.add_parser(name, help=text)
            if name != "list":
                act.add_argument("name")
            if name == "add":
                act.add_argument("--note", default="", help="where it stands, and what it is for")
            self.add_as_argument(act)
            self.add_json_argument(act)

    def work(self, **options: Any) -> int | None:
        actor = self.actor(options)
        act = {"list": self._list, "add": self._add, "code": self._code, "revoke": self._revoke}[options["act"]]
        act(options, actor)
        return None

    def _list(self, options: dict[str, Any], actor: Actor) -> None:
        if not _is_shown_to(actor):
            raise NotFound("Agents are shown to administrators only.")
        now, agents = timezone.now(), list(Agent.objects.all())
        if options["as_json"]:
            self.print_json([_told(agent) for agent in agents])
            return
        if not agents:
            self.stdout.write("There are no agents: manage.py agent add NAME makes one.")
        width = max((len(agent.name) for agent in agents), default=0)
        for agent in agents:
            badge = agent_badge(agent, now)
            self.stdout.write(f"{agent.name:<{width}}  {badge.text:<12}  {agent.version:<8}  {agent.address}".rstrip())

    def _add(self, options: dict[str, Any], actor: Actor) -> None:
        agent = agent_create(name=options["name"], note=options["note"], actor=actor)
        self._print_code(agent, options, actor)

    def _code(self, options: dict[str, Any], actor: Actor) -> None:
        self._print_code(_agent(options["name"], actor), options, actor)

    def _revoke(self, options: dict[str, Any], actor: Actor) -> None:
        agent = _agent(options["name"], actor)
        agent_revoke(agent=agent, actor=actor)
        if options["as_json"]:
            self.print_json(_told(agent))
        else:
            self.stdout.write(f"{agent.name}: its key is void. manage.py agent code {agent.name} enrols it again.")

    def _print_code(self, agent: Agent, options: dict[str, Any], actor: Actor) -> None:
        code = agent_code_issue(agent=agent, actor=actor)
        if options["as_json"]:
            self.print_json({"name": agent.name, "code": code, "url": settings.PUBLIC_URL})
            return
        minutes = int(CODE_LASTS.total_seconds() // 60)
        self.stdout.write(f"Within {minutes} minutes, on the machine that shall be {agent.name}:")
        self.stdout.write(f"  deploypanel-agent enrol {settings.PUBLIC_URL} {code}")


def _agent(name: str, actor: Actor) -> Agent:
    """Raises NotFound; whoever is no administrator is told the same whether it is there or not."""
    found = Agent.objects.filter(name=name).first()
    if found is None or not _is_shown_to(actor):
        others = Agent.objects.values_list("name", flat=True) if _is_shown_to(actor) else ()
        raise NotFound(f"There is no agent called “{name}”{closest(name, others)}")
    return found


def _is_shown_to(actor: Actor) -> bool:
    return actor.user is None or actor.user.is_superuser


def _told(agent: Agent) -> dict[str, Any]:
    return {
        "name": agent.name,
        "enabled": agent.enabled,
        "online": is_online(agent, timezone.now()),
        "enrolled": bool(agent.key_digest),
        "version": agent.version,
        "hostname": agent.hostname,
        "system": agent.system,
        "address": agent.address,
        "seen_at": agent.seen_at,
        "note": agent.note,
    }
