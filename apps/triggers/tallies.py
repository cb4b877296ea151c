"""What is counted for the metrics: ended runs, the time from a firing to the start of its work, and deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Count, DurationField, ExpressionWrapper, F

from apps.runs.tally import Counting, Totals, between, runs_ended, spread, tally_fold
from apps.triggers.models import Delivery, Effect

if TYPE_CHECKING:
    from datetime import datetime

START_SECONDS = (0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 15, 60, 600)


def starts(after: datetime | None, until: datetime | None) -> Totals:
    """By the kind of run that a firing led to: the seconds from the firing to its start."""
    started = Effect.objects.filter(state=Effect.State.STARTED, firing__fired_at__isnull=False)
    started = started.filter(run__started_at__isnull=False)
    took = ExpressionWrapper(F("run__started_at") - F("firing__fired_at"), output_field=DurationField())
    return spread(between(started, "run__started_at", after, until), ("run__kind",), took, START_SECONDS)


def deliveries(after: datetime | None, until: datetime | None) -> Totals:
    """By forge and the HTTP status that was answered: how many."""
    came = between(Delivery.objects.all(), "received_at", after, until)
    found = came.order_by().values("forge", "answer").annotate(number=Count("pk"))
    return {(row["forge"], str(row["answer"])): [float(row["number"])] for row in found}


SERIES: dict[str, Counting] = {"runs": runs_ended, "starts": starts, "deliveries": deliveries}


def tallies_fold(now: datetime) -> None:
    """Add what has become final to the tallies, long before its rows are deleted."""
    for series, counting in SERIES.items():
        tally_fold(series, counting, now)
