"""Orders that nobody carries out: too old to be acted on, or not fit to be handed over. Their runs end as failed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from apps.agents.models import Order
from apps.runs.recorder import note_append
from apps.runs.services import run_move
from apps.runs.states import RunState

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

EXPIRED_AT_ONCE = 100
GIVEN_UP_AT_ONCE = 50  # the hub has other things to do meanwhile


def orders_expire(now: dt.datetime) -> int:
    """End what waited for an agent that was away for longer than the trigger allows; how many. For the clock."""
    waiting = Order.objects.filter(open=True, run__state=RunState.QUEUED).order_by("pk")
    count = 0
    for max_age in set(waiting.order_by().values_list("max_age", flat=True).distinct()):
        old = waiting.filter(max_age=max_age, fired_at__lt=now - timedelta(seconds=max_age))
        count += _give_up(old.select_related("agent")[:EXPIRED_AT_ONCE])
    return count


def orders_give_up(run_ids: Iterable[int]) -> int:
    """End these queued runs, whose firing is too old; how many. For the hub, whose agents are there."""
    return _give_up(Order.objects.filter(run_id__in=list(run_ids)[:GIVEN_UP_AT_ONCE]).select_related("agent"))


def order_refuse(run_id: int, sentence: str, before: RunState) -> bool:
    """End the run of an order, if it still is where it was; whether it did."""
    with transaction.atomic():
        moved = run_move(run_id=run_id, to=RunState.FAILED, before=[before], summary=sentence[:500])
        if moved:
            note_append(moved, sentence)
    return moved is not None


def _give_up(orders: Iterable[Order]) -> int:
    return sum(order_refuse(order.run_id, _too_old(order), RunState.QUEUED) for order in orders)


def _too_old(order: Order) -> str:
    fired = timezone.localtime(order.fired_at)
    within = f"within {_span(order.max_age)} of the firing on {fired:%Y-%m-%d %H:%M:%S %Z}"
    return f"Not run: {order.agent.name} could not take it {within}."


def _span(seconds: int) -> str:
    for name, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} seconds"
