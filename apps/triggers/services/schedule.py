"""Triggers that fire at set times. What was missed while the panel was down is made up for, once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db.models import F
from django.utils import timezone

from apps.access.actor import Actor, Door
from apps.access.errors import InputError, PanelError
from apps.runs.models import Cause
from apps.triggers.models import Firing, Trigger
from apps.triggers.schedules import schedule_next
from apps.triggers.services.fire import OWN_KEY, trigger_fire

if TYPE_CHECKING:
    from datetime import datetime

logger = logging.getLogger(__name__)
AT_ONCE = 50


def triggers_fire_due(now: datetime) -> int:
    """Fire what is due by its schedule; how many. Called by the clock; called twice, it fires once."""
    _reckon(now)
    due = Trigger.objects.filter(next_at__lte=now, scheduled=F("schedule")).select_related("hours")
    return sum(_fire(trigger, now) for trigger in due.order_by("next_at")[:AT_ONCE])


def schedules_check(now: datetime) -> int:
    """Reckon anew what is due later than it should be, because the panel's clock was wrong or its time zone was another
    when that was reckoned; how many. Called by the clock."""
    count = 0
    for trigger in Trigger.objects.filter(next_at__gt=now, scheduled=F("schedule")):
        due = _next(trigger, now)
        if due is not None and trigger.next_at is not None and due < trigger.next_at:
            rows = Trigger.objects.filter(pk=trigger.pk, next_at=trigger.next_at, scheduled=trigger.schedule)
            count += rows.update(next_at=due)
    return count


def _reckon(now: datetime) -> None:
    """Schedules that are new or were changed: from when on they count."""
    for trigger in Trigger.objects.exclude(schedule=F("scheduled"))[:AT_ONCE]:
        rows = Trigger.objects.filter(pk=trigger.pk, schedule=trigger.schedule)
        rows.update(scheduled=trigger.schedule, next_at=_next(trigger, now))


def _fire(trigger: Trigger, now: datetime) -> bool:
    """Fired first, with a key of this very time, then moved on: whatever is killed, each time counts once."""
    assert trigger.next_at is not None
    fired = trigger.enabled and _fired(trigger, trigger.next_at)
    rows = Trigger.objects.filter(pk=trigger.pk, next_at=trigger.next_at, scheduled=trigger.schedule)
    rows.update(next_at=_next(trigger, now))
    return fired


def _fired(trigger: Trigger, due: datetime) -> bool:
    try:
        trigger_fire(
            trigger=trigger,
            actor=Actor(user=None, door=Door.SCHEDULE),
            cause=Cause.SCHEDULE,
            source=Firing.Source.SCHEDULE,
            payload={"scheduled_for": due.isoformat()},
            idempotency_key=f"{OWN_KEY}schedule:{due.isoformat()}",
        )
    except PanelError as error:
        logger.info("The trigger %s was not fired by its schedule: %s", trigger, error)
        return False
    return True


def _next(trigger: Trigger, now: datetime) -> datetime | None:
    if not trigger.schedule:
        return None
    try:
        return schedule_next(trigger.schedule, timezone.localtime(now))
    except InputError as error:
        logger.error("The trigger %s fires by no schedule: %s", trigger, error)
        return None
