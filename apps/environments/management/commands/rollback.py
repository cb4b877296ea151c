"""`manage.py rollback`: go back to a release that the hosts still have."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from apps.access.errors import NotFound
from apps.environments.management.acting import ActingCommand, environment_meant
from apps.environments.selectors import releases_available
from apps.environments.services import rollback_request
from apps.runs.models import Cause

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from apps.environments.models import Environment

LEAST = 7  # characters of a commit: fewer name too many


class Command(ActingCommand):
    help = (
        "Go back to the release before, or to a given one: in seconds where the hosts still have it, "
        "else by deploying that commit. Automatic deployments pause until someone resumes them."
    )
    examples = """
        manage.py rollback shop/prod --follow         to the commit before the one that is live
        manage.py rollback shop/prod --to 4f2a9c1     to that commit
        manage.py rollback shop/prod --list           what the hosts still have
    """

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_acting_arguments(parser)
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--to", metavar="COMMIT", default="", help="a commit, at least 7 characters of it")
        which.add_argument("--list", action="store_true", dest="listing", help="list what can be gone back to")

    def work(self, **options: Any) -> int | None:
        actor = self.actor(options)
        environment = environment_meant(options["subject"], actor.user)
        if options["listing"]:
            self._list(environment, options)
            return None
        deployment = rollback_request(
            environment=environment,
            actor=actor,
            cause=Cause.COMMAND,
            commit=_commit(environment, options["to"]),
            override=options["override"],
        )
        assert deployment.run is not None
        return self.started(deployment.run, options)

    def _list(self, environment: Environment, options: dict[str, Any]) -> None:
        choices = releases_available(environment)
        if options["as_json"]:
            self.print_json([asdict(choice) for choice in choices])
            return
        for choice in choices:
            mark = "everywhere" if choice.everywhere else f"on {choice.hosts}"
            at = f"{choice.deployed_at:%Y-%m-%d %H:%M}" if choice.deployed_at else " " * 16
            line = f"{choice.commit[:10]}  {at}  {mark:<10}  {choice.branch}  {choice.commit_subject}"
            self.stdout.write(line.rstrip())
        if not choices:
            self.stdout.write("The hosts have no other releases that the panel knows of.")


def _commit(environment: Environment, wanted: str) -> str:
    """The full commit where hosts have a release of it; as it was given otherwise. Raises NotFound when it is vague."""
    if not wanted:
        return ""
    if len(wanted) < LEAST:
        raise NotFound(f"“{wanted}” is too short for a commit: give at least {LEAST} characters.", "--to")
    found = {one.commit for one in releases_available(environment) if one.commit.startswith(wanted.lower())}
    if len(found) > 1:
        raise NotFound(f"“{wanted}” may be any of {', '.join(sorted(found))}.", "--to")
    return found.pop() if found else wanted
