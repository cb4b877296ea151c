"""What is read of agents and their orders, most of it by the hub at each of its looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Min

from apps.agents.hand_over import Open
from apps.agents.models import Agent, Order
from apps.runs.models import Run
from apps.runs.states import ALIVE, RunState

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from django.db.models import QuerySet

STALE_AT_ONCE = 50
ORPHANS_AT_ONCE = 200  # of triggers that are gone

COLUMNS = (
    "run_id",
    "agent_id",
    "subject_id",
    "name",
    "run__state",
    "fired_at",
    "max_age",
    "run__stop_requested_by",
    "agent__enabled",
)


def sessions_count(prefix: str) -> int:
    """How many agents are connected to the process whose sessions begin so."""
    return Agent.objects.filter(session__startswith=prefix).count()


def lines_standing(agent_ids: Collection[int]) -> dict[int, tuple[str, str]]:
    """The session and the key's digest of each of these agents."""
    rows = Agent.objects.filter(pk__in=agent_ids).values_list("pk", "session", "key_digest")
    return {number: (session, digest) for number, session, digest in rows}


def orders_open(prefix: str, now: datetime) -> list[Open]:
    """Of the agents connected to this process: the orders that are begun, and the oldest of each series.

    Thousands may wait behind those; they are read only where the oldest is too old, and many of them may be.
    """
    rows = Order.objects.filter(open=True, agent__session__startswith=prefix)
    begun = Run.objects.filter(kind="agent", state__in=ALIVE).order_by().values_list("pk", flat=True)
    series = rows.order_by().values("agent_id", "subject_id").annotate(first=Min("run_id"))
    heads = [row["first"] for row in series if row["subject_id"] is not None]
    orphans = rows.filter(subject=None).order_by("pk").values_list("pk", flat=True)  # their names tell them apart
    found = _read(rows.filter(pk__in={*begun, *heads, *orphans[:ORPHANS_AT_ONCE]}))
    stale = [order for order in found if order.state == RunState.QUEUED and order.too_old(now)]
    for order in stale:
        behind = rows.filter(agent=order.agent, subject=order.subject, pk__gt=order.run)
        found += _read(behind.exclude(subject=None), STALE_AT_ONCE)
    return sorted(found, key=lambda order: (order.agent, order.run))


def _read(rows: QuerySet[Order], limit: int | None = None) -> list[Open]:
    return [Open(*row) for row in rows.order_by("run_id").values_list(*COLUMNS)[:limit]]
