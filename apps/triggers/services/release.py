"""Firings that wait: for the window of their trigger, or until it is known which paths a push has changed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from apps.access import audit, gate
from apps.access.errors import Conflict, PanelError
from apps.triggers.models import Firing, WhenClosed
from apps.triggers.services.admit import actor_behind, firing_rules, firing_told
from apps.triggers.services.begin import firing_begin, rate_checked, trigger_counted

if TYPE_CHECKING:
    from datetime import datetime

    from apps.access.actor import Actor
    from apps.access.decision import Decision

logger = logging.getLogger(__name__)
State = Firing.State
AT_ONCE = 20


class _Taken(Exception):
    """Another process has dealt with the firing."""


def firings_release_due(now: datetime) -> int:
    """Ask the gate again for each held firing whose time has come; how many fired. Called by the clock."""
    due = Firing.objects.filter(state=State.HELD, opens_at__lte=now).select_related("trigger__hours", "user")
    return sum(_quietly(firing, now) for firing in due.order_by("opens_at", "pk")[:AT_ONCE])


def firings_ask_again(*, trigger_id: int | None = None) -> int:
    """Have the gate asked at once for held firings: all of them, or one trigger's. The hours may have been changed."""
    now = timezone.now()
    held = Firing.objects.filter(state=State.HELD, opens_at__gt=now)
    if trigger_id is not None:
        held = held.filter(trigger=trigger_id)
    return held.update(opens_at=now)


def firing_release(*, firing: Firing, actor: Actor, override: str = "") -> Firing:
    """Fire a held one now, in the name of `actor`, for those who may fire now. Raises Refused, Conflict."""
    decision = gate.require(
        actor=actor,
        act=gate.Act.ACT,
        subject=firing.trigger,
        action="release firing",
        extra=firing_rules(firing.trigger, firing.depth),
        override=override,
        detail={"firing": firing.pk},
    )
    firing.override = override.strip()[:300]
    if not _fire(firing, actor, decision, State.HELD):
        raise Conflict("This firing does not wait any more.")
    return firing


def firing_cancel(*, firing: Firing, actor: Actor) -> Firing:
    """Let a held one go. For those who may fire at some time. Raises Refused, Conflict."""
    gate.require(
        actor=actor, act=gate.Act.STOP, subject=firing.trigger, action="cancel firing", detail={"firing": firing.pk}
    )
    if not _moved(firing, (State.HELD, State.CHECKING), State.REFUSED, f"Cancelled by {actor.name}."):
        raise Conflict("This firing does not wait any more.")
    firing.refresh_from_db()
    return firing


def firing_let_go(firing: Firing, now: datetime) -> bool:
    """Fire one that waited, hold it on, or refuse it, as the gate says now; whether it fired."""
    before, actor = State(firing.state), actor_behind(firing)
    rules = firing_rules(firing.trigger, firing.depth)
    decision = gate.decide(
        actor=actor, act=gate.Act.ACT, subject=firing.trigger, at=now, extra=rules, override=firing.override
    )
    if decision.allowed:
        return _fire(firing, actor, decision, before)
    reasons = " ".join(decision.reasons)
    holds = firing.trigger.when_closed == WhenClosed.HOLD
    if holds and decision.opens_at is not None and decision.opens_at > now:
        _moved(firing, (before,), State.HELD, reasons, opens_at=decision.opens_at)
    elif _moved(firing, (before,), State.REFUSED, reasons):
        _refusal_told(firing, actor, decision.reasons)
    return False


def firing_ignore(firing: Firing, text: str) -> None:
    """It was a push that changed nothing of what the trigger asks for."""
    _moved(firing, (State.CHECKING,), State.IGNORED, text)


def _quietly(firing: Firing, now: datetime) -> bool:
    try:
        return firing_let_go(firing, now)
    except PanelError as error:  # such as a trigger that was just deleted
        logger.info("Firing %s waits on: %s", firing.pk, error)
        return False


def _fire(firing: Firing, actor: Actor, decision: Decision, before: Firing.State) -> bool:
    """Whether it fired: another process may have been quicker, or there were too many at once."""
    try:
        with transaction.atomic():
            trigger = trigger_counted(firing.trigger)  # whoever else releases it waits here
            if not Firing.objects.filter(pk=firing.pk, state=before).exists():
                raise _Taken
            if before == State.CHECKING:  # it was not counted when it came
                rate_checked(trigger, but=firing.pk)
            firing_begin(firing, trigger)
            firing_told(firing=firing, actor=actor, decision=decision)
    except _Taken:
        return False
    except PanelError as error:
        if isinstance(error, Conflict):
            raise
        if _moved(firing, (before,), State.REFUSED, str(error)):
            _refusal_told(firing, actor, [str(error)])
        return False
    return True


def _moved(firing: Firing, before: Any, to: Firing.State, text: str, opens_at: datetime | None = None) -> bool:
    rows = Firing.objects.filter(pk=firing.pk, state__in=before)
    return bool(rows.update(state=to, text=text[:500], opens_at=opens_at))


def _refusal_told(firing: Firing, actor: Actor, reasons: list[str]) -> None:
    audit.record(
        actor=actor,
        action="fire",
        subject=firing.trigger,
        allowed=False,
        reasons=reasons,
        detail={"firing": firing.pk, "source": str(firing.source)},
    )
