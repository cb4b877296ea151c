"""What agents tell of their runs, stored exactly once by its numbers, many reports in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.agents import protocol
from apps.agents.book import RunBook
from apps.agents.models import Order
from apps.agents.services.hand_over import orders_begin
from apps.runs.bell import ring_viewers
from apps.runs.models import LogChunk, Run, Step
from apps.runs.recorder import STEP_FIELDS
from apps.runs.services import RunEnd, runs_end
from apps.runs.states import ALIVE, RunState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from apps.agents.protocol import Event, Events

RUN_FIELDS = ("last_seq", "log_lines", "log_bytes", "log_cut", "steps_version", "heartbeat_at")
STEP_POSITIONED = ("position", *STEP_FIELDS)


@dataclass(frozen=True, slots=True)
class Report:
    """What one agent sent."""

    agent: int
    events: Events


@dataclass(slots=True)
class Stored:
    """What to answer a report, in order. `ended`: the end of its run is stored."""

    messages: list[str]
    ended: bool = False


def reports_store(reports: Sequence[Report]) -> list[Stored]:
    """Store what is new in each; when this returns, the answers may be sent.

    The runs' rows are locked first: whoever else writes into a run's log (the reaper) waits, or is waited for.
    """
    with transaction.atomic():
        books = _books({(report.events.run, report.agent) for report in reports})
        stored = [_store(report, books.get(report.events.run)) for report in reports]
        _write(list(books.values()))
    return stored


def _books(told: Collection[tuple[int, int]]) -> dict[int, RunBook]:
    """By run, of those that are the teller's own, and of which there can still be news."""
    rows = Run.objects.select_for_update(of=("self",)).filter(pk__in={run for run, _ in told})
    runs = {run.pk: run for run in rows.order_by("pk")}
    orders = Order.objects.filter(run_id__in=runs).select_related("agent")
    books = {
        order.run_id: RunBook(runs[order.run_id], order, settings.RUN_LOG_LIMIT)
        for order in orders
        if (order.run_id, order.agent_id) in told and _takes(runs[order.run_id])
    }
    for step in Step.objects.filter(run_id__in=books):
        books[step.run_id].steps[step.stage] = step
    return books


def _takes(run: Run) -> bool:
    """Whether this run can still be told of. One whose hand-over the database has forgotten (a power cut) begins."""
    if run.state == RunState.QUEUED:
        orders_begin([run.pk])
        run.refresh_from_db()
    return run.state in (*ALIVE, RunState.LOST)


def _store(report: Report, book: RunBook | None) -> Stored:
    number, events = report.events.run, report.events
    if book is None or book.order.agent_id != report.agent:
        told = events.first + len(events.events) - 1
        return Stored([protocol.line("ack", run=number, events=told), protocol.line("forget", run=number)], ended=True)
    book.take(events)
    stored = Stored([protocol.line("ack", run=number, events=book.order.events)], ended=book.end is not None)
    if stored.ended:
        stored.messages.append(protocol.line("forget", run=number))
    return stored


def _write(books: Collection[RunBook]) -> None:
    now = timezone.now()
    LogChunk.objects.bulk_create([chunk for book in books for chunk in book.chunks], batch_size=200)
    changed = [step for book in books for step in book.changed.values()]
    Step.objects.bulk_create([step for step in changed if step.pk is None], batch_size=200)
    Step.objects.bulk_update([step for step in changed if step.pk is not None], STEP_POSITIONED, batch_size=100)
    for book in books:  # one by one: Django takes longer to word one statement for many
        book.run.heartbeat_at = now
        book.run.steps_version += bool(book.changed)
        values = {name: getattr(book.run, name) for name in RUN_FIELDS}
        Run.objects.filter(pk=book.run.pk).update(**values)
        Order.objects.filter(pk=book.run.pk).update(events=book.order.events)
    ring_viewers(*(book.run.pk for book in books))
    if ends := [_end_of(book, book.end) for book in books if book.end is not None]:
        runs_end(ends=ends)


def _end_of(book: RunBook, end: Event) -> RunEnd:
    """As the agent tells it, also of a run that had been given up as lost."""
    return RunEnd(
        run_id=book.run.pk,
        before=RunState(book.run.state),
        to=end.end,
        summary=end.text,
        ended_at=book.moment(end.at),
    )
