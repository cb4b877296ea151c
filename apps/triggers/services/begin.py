"""The moment at which a firing counts: the trigger's number goes up, and what follows is written down with it."""

from __future__ import annotations

from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING

from django.db.models import F
from django.utils import timezone

from apps.access.errors import Conflict
from apps.runs.queue import ring
from apps.triggers.errors import RateLimited
from apps.triggers.models import Firing, Trigger
from apps.triggers.services.effects import effects_create

if TYPE_CHECKING:
    from datetime import datetime

ADVANCE_TIMEOUT = 60  # seconds
CHECK_TIMEOUT = 60  # seconds
_UNCOUNTED = (Firing.State.IGNORED, Firing.State.CHECKING)


def trigger_held(trigger: Trigger) -> Trigger:
    """The trigger as it is now, its row kept from others until the transaction ends; Conflict when it is gone."""
    fresh = Trigger.objects.select_for_update(of=("self",), no_key=True).filter(pk=trigger.pk).first()
    if fresh is None:
        raise Conflict(f"The trigger {trigger} was deleted a moment ago.")
    return fresh


def trigger_counted(trigger: Trigger) -> Trigger:
    """The trigger with its number gone up by one. Whoever comes at the same time waits for the transaction's end.

    Raises Conflict when it was switched off or deleted meanwhile.
    """
    rows = Trigger.objects.filter(pk=trigger.pk, enabled=True)
    if not rows.update(count=F("count") + 1, fired_at=timezone.now()):
        raise Conflict(f"The trigger {trigger} was switched off or deleted a moment ago.")
    return Trigger.objects.get(pk=trigger.pk)


def rate_checked(trigger: Trigger, but: int = 0) -> None:
    """Raises RateLimited after too many (`but` for one). Call it with the row of the trigger held: so it is exact."""
    if trigger.rate_limit is None:
        return
    now, window = timezone.now(), timedelta(seconds=trigger.rate_seconds)
    recent = Firing.objects.filter(trigger=trigger, received_at__gt=now - window).exclude(pk=but)
    times: list[datetime] = list(
        recent.order_by("-received_at").values_list("received_at", flat=True)[: trigger.rate_limit]
    )
    if len(times) < trigger.rate_limit:
        return
    free_at = times[-1] + window if times else now + window  # a limit of none at all
    sentence = (
        f"The trigger {trigger} was fired {trigger.rate_limit} times in {trigger.rate_seconds} s: no more for now."
    )
    raise RateLimited(sentence, ceil((free_at - now).total_seconds()))


def firing_begin(firing: Firing, trigger: Trigger) -> None:
    """Store the firing with the number that the trigger has just got, and what it leads to; in that transaction."""
    firing.trigger, firing.count, firing.state = trigger, trigger.count, Firing.State.FIRED
    firing.fired_at, firing.opens_at, firing.text = trigger.fired_at, None, ""
    firing.save()
    if effects_create(firing):
        ring("apps.triggers.tasks.firing_advance", firing.pk, timeout=ADVANCE_TIMEOUT)
