"""What people do with a firing that is held: let it go before its time, or cancel it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from apps.access import gate
from apps.access.errors import Conflict
from apps.triggers.models import Firing
from apps.triggers.services.admit import firing_rules, firing_told
from apps.triggers.services.begin import firing_begin, trigger_counted

if TYPE_CHECKING:
    from apps.access.actor import Actor


def firing_release_now(*, firing: Firing, actor: Actor) -> Firing:
    """Fire it now, with its own payload and in the name of who asked for it; `actor` must be allowed to fire.

    Raises Refused, and Conflict when it is not held any more.
    """
    trigger = firing.trigger
    rules = firing_rules(trigger, firing.depth)
    decision = gate.decide(actor=actor, act=gate.Act.ACT, subject=trigger, extra=rules)
    if not decision.allowed:
        gate.require(actor=actor, act=gate.Act.ACT, subject=trigger, action="fire held", at=decision.at, extra=rules)
    with transaction.atomic():
        counted = trigger_counted(trigger)  # holds the trigger's row, as the clock does that may release it too
        held = Firing.objects.filter(pk=firing.pk, state=Firing.State.HELD).first()
        if held is None:
            raise Conflict("This firing is not held any more.")
        firing_begin(held, counted)
        firing_told(firing=held, actor=actor, decision=decision, detail={"held": True})
    return held


def firing_cancel(*, firing: Firing, actor: Actor) -> None:
    """It will never fire. Raises Refused, and Conflict when it is not held any more."""
    gate.require(
        actor=actor, act=gate.Act.STOP, subject=firing.trigger, action="cancel firing", detail={"firing": firing.pk}
    )
    held = Firing.objects.filter(pk=firing.pk, state=Firing.State.HELD)
    if not held.update(state=Firing.State.REFUSED, opens_at=None, text=f"Cancelled by {actor.name}."):
        raise Conflict("This firing is not held any more.")
