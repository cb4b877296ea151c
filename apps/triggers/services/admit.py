"""What a trigger itself adds to the gate's rules, and the answer with them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.access import audit, gate
from apps.access.actor import Actor, Door
from apps.access.decision import RuleResult
from apps.access.errors import Refused
from apps.access.models import AuditEntry
from apps.triggers.models import Firing, Trigger, WhenClosed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from apps.access.decision import Decision

DEEPEST = 8  # firings by ends of runs of firings by ends of runs …
TOLD_EVERY = timedelta(minutes=1)  # the same refusal of the same caller stands in the trail once in that time
TOLD_LOOKED = 20
MOST_HELD = 1000  # firings of one trigger that wait for its window


def firing_rules(trigger: Trigger, depth: int) -> list[RuleResult]:
    """Beside the gate's own: the trigger is on, and no circle of runs fires it for ever."""
    off = "" if trigger.enabled else f"The trigger {trigger} is off: switch it on first."
    circle = f"{depth} firings led one to another: triggers fire each other in a circle." if depth > DEEPEST else ""
    return [
        RuleResult(name="trigger", allowed=not off, reason=off or f"The trigger {trigger} is on."),
        RuleResult(name="circle", allowed=not circle, reason=circle or "It is no circle."),
    ]


def firing_admitted(
    *, trigger: Trigger, actor: Actor, override: str, depth: int, detail: dict[str, Any]
) -> tuple[Decision, datetime | None]:
    """The gate's answer, and when to ask it again if the firing is to be held until then.

    Where it neither may fire nor is held: writes the audit row, and raises Refused.
    """
    rules = firing_rules(trigger, depth)
    decision = gate.decide(actor=actor, act=gate.Act.ACT, subject=trigger, extra=rules, override=override)
    if decision.allowed:
        return decision, None
    if trigger.when_closed == WhenClosed.HOLD and decision.opens_at is not None and not override:
        held = Firing.objects.filter(trigger=trigger, state=Firing.State.HELD).count()
        if held < MOST_HELD:
            return decision, decision.opens_at
        full = f"{held} firings wait for the window already."
        rules.append(RuleResult(name="held", allowed=False, reason=full))
        decision = gate.decide(
            actor=actor, act=gate.Act.ACT, subject=trigger, at=decision.at, extra=rules, override=override
        )
    if refusal_is_told(trigger, actor, decision.reasons):
        raise Refused(decision)
    gate.require(
        actor=actor,
        act=gate.Act.ACT,
        subject=trigger,
        action="fire",
        at=decision.at,
        extra=rules,
        override=override,
        detail=detail,
    )
    raise AssertionError("The gate changed its mind about one moment.")


def refusal_is_told(trigger: Trigger, actor: Actor, reasons: Sequence[str]) -> bool:
    """Whether the trail has just that refusal already: programs that call again and again must not fill it."""
    if actor.door is not Door.API:
        return False
    since = timezone.now() - TOLD_EVERY
    same = AuditEntry.objects.filter(subject_id=trigger.pk, action="fire", allowed=False, at__gt=since)
    told = same.filter(actor=actor.name[:150], address=actor.address[:64]).values_list("reasons", flat=True)
    return list(reasons) in told[:TOLD_LOOKED]


def firing_told(*, firing: Firing, actor: Actor, decision: Decision, detail: dict[str, Any] | None = None) -> None:
    """The audit row of a firing that was let in, in the caller's transaction."""
    told: dict[str, Any] = {"firing": firing.pk, "count": firing.count, "source": str(firing.source)} | (detail or {})
    reasons: Sequence[str] = ()
    if firing.opens_at is not None:
        told["waits_until"], reasons = firing.opens_at.isoformat(), decision.reasons
    if overridden := [rule.reason for rule in decision.rules if rule.overridden]:
        told |= {"override": firing.override, "overridden": overridden}
    action = "fire" if firing.state == Firing.State.FIRED else "fire when open"
    audit.record(actor=actor, action=action, subject=firing.trigger, reasons=reasons, detail=told)


def actor_behind(firing: Firing) -> Actor:
    """Who fired it. A person whose account is gone by now is nobody, and holds no rights."""
    door = Door(firing.door)
    if firing.user is None and firing.knock.get("is_person"):
        door = Door.ADMIN  # at the shell's door, nobody would be the operator
    return Actor(
        user=firing.user,
        door=door,
        address=firing.address,
        behind=firing.behind,
        by_secret=bool(firing.knock.get("by_secret")),
    )
