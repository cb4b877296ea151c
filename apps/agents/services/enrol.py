"""How a machine becomes an agent, and stops being one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from apps.access import audit
from apps.access.decision import Decision, RuleResult
from apps.access.errors import InputError, Refused
from apps.agents.bell import ring_agents
from apps.agents.errors import CodeRefused
from apps.agents.keys import code_digest, code_new, key_digest, key_new
from apps.agents.models import Agent, Order
from apps.agents.services.signing import signer
from apps.runs.models import Run
from apps.runs.recorder import note_append
from apps.runs.services import run_move
from apps.runs.states import ALIVE, RunState

if TYPE_CHECKING:
    from apps.access.actor import Actor

CODE_LASTS = timedelta(minutes=30)


@dataclass(frozen=True, kw_only=True)
class Enrolled:
    """What the new agent is told, once."""

    agent: Agent
    key: str
    public_key: dict[str, object]


def agent_create(*, name: str, actor: Actor, note: str = "") -> Agent:
    """An agent that no machine is yet. Raises Refused, and InputError with the place."""
    _require_administrator(actor, "make agent", {"agent": name})
    if Agent.objects.filter(name=name).exists():
        raise InputError(f"there is an agent {name!r} already", "name")
    agent = Agent(name=name, note=note)
    _cleaned(agent)
    with transaction.atomic():
        agent.save()
        audit.record(actor=actor, action="make agent", detail={"agent": name})
    return agent


def agent_code_issue(*, agent: Agent, actor: Actor) -> str:
    """A code with which one machine can enrol as this agent, once, within CODE_LASTS. A former code is void.

    The machine that is this agent now stays it until then.
    """
    _require_administrator(actor, "issue agent code", {"agent": agent.name})
    code = code_new()
    agent.code_digest, agent.code_expires_at = code_digest(code), timezone.now() + CODE_LASTS
    with transaction.atomic():
        agent.save(update_fields=["code_digest", "code_expires_at"])
        audit.record(actor=actor, action="issue agent code", detail={"agent": agent.name})
    return code


def agent_enrol(*, code: str, actor: Actor, hostname: str = "", version: str = "", system: str = "") -> Enrolled:
    """The machine that knows the code becomes the agent, and gets its key. Raises CodeRefused.

    One conditional UPDATE takes the code, so that of two machines only one gets in. What a former machine was at work
    on is lost: nobody can tell any more.
    """
    public_key, key, now = signer().public, key_new(), timezone.now()
    waiting = Agent.objects.filter(code_digest=code_digest(code), code_expires_at__gt=now)
    with transaction.atomic():
        number = waiting.values_list("pk", flat=True).first()
        taken = waiting.filter(pk=number or 0).update(
            code_digest="",
            code_expires_at=None,
            key_digest=key_digest(key),
            enrolled_at=now,
            revoked_at=None,
            session="",
            hostname=hostname[:120],
            version=version[:40],
            system=system[:200],
            address=actor.address[:64],
        )
        if not taken:
            raise CodeRefused("This code is unknown, was used already, or has expired. Ask for a new one.")
        agent = Agent.objects.get(pk=number or 0)
        _lose_all(agent, "The agent was enrolled anew in the middle of it.")
        detail = {"agent": agent.name, "hostname": hostname[:120]}
        audit.record(actor=actor, action="enrol agent", detail=detail)
        ring_agents()
    return Enrolled(agent=agent, key=key, public_key=public_key)


def agent_revoke(*, agent: Agent, actor: Actor) -> None:
    """Its key and its code are void from now on, its line is closed at once, what it was at work on is lost.

    What waits for it goes on waiting: the machine may be enrolled anew.
    """
    _require_administrator(actor, "revoke agent", {"agent": agent.name})
    now = timezone.now()
    void: dict[str, Any] = {"key_digest": "", "code_digest": "", "code_expires_at": None, "session": ""}
    with transaction.atomic():
        Agent.objects.filter(pk=agent.pk).update(**void, revoked_at=now, disconnected_at=now)
        _lose_all(agent, "The agent's key was revoked in the middle of it.")
        audit.record(actor=actor, action="revoke agent", detail={"agent": agent.name})
        ring_agents()
    agent.refresh_from_db()


def _lose_all(agent: Agent, reason: str) -> None:
    held = Order.objects.filter(agent=agent, open=True, run__state__in=ALIVE)
    for run in Run.objects.filter(pk__in=held.values("run_id")):
        sentence = f"{reason} How far it came is not known."
        if lost := run_move(run_id=run.pk, to=RunState.LOST, summary=sentence):
            note_append(lost, f"Lost: {sentence}")


def _cleaned(agent: Agent) -> None:
    try:
        agent.full_clean()
    except ValidationError as error:
        place, sentences = next(iter(error.message_dict.items()))
        raise InputError(" ".join(sentences), place) from None


def _require_administrator(actor: Actor, action: str, detail: dict[str, Any]) -> None:
    """Agents are administrators' business: whoever holds one may run anything on that machine."""
    user = actor.user
    trusted = actor.is_trusted and not actor.by_secret
    if trusted or (user is not None and user.is_active and user.is_superuser):
        return
    reason = "Only an administrator may change agents."
    audit.record(actor=actor, action=action, allowed=False, reasons=[reason], detail=detail)
    raise Refused(Decision(at=timezone.now(), rules=(RuleResult(name="permission", allowed=False, reason=reason),)))
