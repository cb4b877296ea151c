"""Totals that outlive the rows they were counted from, so that counters never go down when old rows are deleted.

A *series* counts rows of one kind by the time at which they became final. Now and then what is old enough is added
to the table of tallies, with the time up to which that was done; a total is what the table has, and what was counted
from the rows since then. Every process computes the same totals, whichever is asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, DurationField, Expression, ExpressionWrapper, F, Q, QuerySet, Sum

from apps.runs.models import Run, Tally
from apps.runs.states import ENDED

Labels = tuple[str, ...]
Totals = dict[Labels, list[float]]
# Counts the rows that became final after the first and up to the second time; None: no such bound.
Counting = Callable[[datetime | None, datetime | None], Totals]

MARK = ""  # the labels of the row that says up to when a series is folded
SETTLING = timedelta(minutes=2)  # a row may be committed this much later than the time it bears
# Upper ends of a histogram's buckets in seconds; the last, without end, is the count itself.
RUN_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 14400)


def totals(series: str, counting: Counting) -> Totals:
    """All that was ever counted, by labels."""
    # One query for marks and sums: they change together.
    rows = list(Tally.objects.filter(series=series))
    mark = next((row.until for row in rows if row.labels == MARK), None)
    found = {tuple(json.loads(row.labels)): list(row.values) for row in rows if row.labels != MARK}
    for labels, values in counting(mark, None).items():
        found[labels] = _sum(found.get(labels, []), values)
    return found


def tally_fold(series: str, counting: Counting, now: datetime) -> None:
    """Add what has become final since the last time, but for the latest, to the table. Safe to repeat.

    Counting may take seconds, the first time above all: it is done before anything is locked, and is in vain when
    another process has folded meanwhile.
    """
    mark, _ = Tally.objects.get_or_create(series=series, labels=MARK)
    until = now - SETTLING
    if mark.until is not None and mark.until >= until:
        return
    found = counting(mark.until, until)
    with transaction.atomic():
        if not Tally.objects.filter(pk=mark.pk, until=mark.until).update(until=until):
            return
        for labels, values in found.items():
            tally_add(series, labels, values)


def tally_add(series: str, labels: Labels, values: Sequence[float]) -> None:
    """Add to one sum; for what is counted in a row that is about to be deleted, in the same transaction."""
    with transaction.atomic():
        row, _ = Tally.objects.select_for_update().get_or_create(series=series, labels=json.dumps(labels))
        row.values = _sum(row.values, values)
        row.save()


def runs_ended(after: datetime | None, until: datetime | None) -> Totals:
    """By kind and state: how many ended, of how many the duration is known, the sum of those in seconds, and buckets.

    A run that was given up as lost, and whose agent told later how it ended, counts as both.
    """
    ended = between(Run.objects.filter(state__in=ENDED), "ended_at", after, until)
    took = ExpressionWrapper(F("ended_at") - F("started_at"), output_field=DurationField())
    return spread(ended, ("kind", "state"), took, RUN_SECONDS)


def between(rows: QuerySet[Any], field: str, after: datetime | None, until: datetime | None) -> QuerySet[Any]:
    """Those whose time in `field` lies after the one and not after the other."""
    bounds = {f"{field}__gt": after, f"{field}__lte": until}
    return rows.filter(**{name: at for name, at in bounds.items() if at is not None})


def spread(rows: QuerySet[Any], by: Sequence[str], took: Expression, ends: Sequence[float]) -> Totals:
    """By the fields `by`: rows, those with a duration, the sum of it in seconds, and those not longer than each end."""
    below = {
        f"below_{place}": Count("pk", filter=Q(took__lte=timedelta(seconds=end))) for place, end in enumerate(ends)
    }
    figures = {"rows": Count("pk"), "timed": Count("took"), "took_sum": Sum("took"), **below}
    found = rows.annotate(took=took).order_by().values(*by).annotate(**figures).values_list(*by, *figures)
    return {tuple(map(str, row[: len(by)])): _numbers(row[len(by) :]) for row in found}


def _numbers(row: Sequence[Any]) -> list[float]:
    return [value.total_seconds() if isinstance(value, timedelta) else float(value or 0) for value in row]


def _sum(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """Place by place; the shorter is taken to go on with zeros."""
    long, short = (one, other) if len(one) > len(other) else (other, one)
    return [value + (short[place] if place < len(short) else 0) for place, value in enumerate(long)]
