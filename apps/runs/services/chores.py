"""What the clock asks for: waiting runs whose time has come, queued ones whose ring was lost, old ones."""

from __future__ import annotations

import logging
import shutil
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import Q
from django.utils import timezone

from apps.runs.bell import ring_viewers
from apps.runs.kinds import kind_named, remote_kinds
from apps.runs.models import LogChunk, Run
from apps.runs.queue_state import queue_length
from apps.runs.recorder import note_append
from apps.runs.services.move import SPAWN_PATIENCE, run_move, run_ring_start
from apps.runs.services.request import run_active_on
from apps.runs.states import ALIVE, ENDED, RunState

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)
ASK_AGAIN = timedelta(seconds=5)  # a waiting run whose subject is busy
RING_AGAIN = timedelta(seconds=5)  # a queued run that nobody has started
RINGS_AT_ONCE = 20
QUEUE_FULL = 50  # waiting tasks: nobody takes them, more rings do not help
PRUNE_BATCH = 20  # runs
CHUNKS_BATCH = 500
PRUNE_TIME = 2.0  # seconds: the clock has other chores
FOLDER_AGE = timedelta(days=1)


def run_advance_waiting(now: datetime) -> int:
    """Ask the gate again for each waiting run whose time has come; how many were queued."""
    due = Run.objects.select_related("subject", "requested_by").filter(state=RunState.WAITING, not_before__lte=now)
    return sum(_advance(run, now) for run in due.order_by("not_before", "pk")[:100])


def runs_ask_again(*, subject_id: int | None = None) -> int:
    """Have the gate asked at once for runs that wait: all of them, or one subject's. How many.

    The hours that they wait for may have been changed. Those that must go on waiting are told until when.
    """
    now = timezone.now()
    waiting = Run.objects.filter(state=RunState.WAITING, not_before__gt=now)
    if subject_id is not None:
        waiting = waiting.filter(subject=subject_id)
    return waiting.update(not_before=now)


def runs_ring_queued(now: datetime) -> int:
    """Ring again for queued runs that no runner has claimed, the oldest first; how many."""
    if queue_length() > QUEUE_FULL:
        return 0
    unheard = Q(rung_at=None) | Q(rung_at__lt=now - RING_AGAIN)
    unclaimed = Q(spawned_at=None) | Q(spawned_at__lt=now - SPAWN_PATIENCE)
    due = Run.objects.filter(unheard, unclaimed, state=RunState.QUEUED).exclude(kind__in=remote_kinds()).order_by("pk")
    ids = list(due.values_list("pk", flat=True)[:RINGS_AT_ONCE])
    for run_id in ids:
        with transaction.atomic():
            run_ring_start(run_id)
    return len(ids)


def runs_prune(now: datetime) -> int:
    """Delete runs that ended longer ago than RUN_KEEP_DAYS, with their logs, in small transactions; how many.

    Stops after PRUNE_TIME; the next call goes on.
    """
    deadline = time.monotonic() + PRUNE_TIME
    _folders_prune(now)
    old = Run.objects.filter(state__in=ENDED, ended_at__lt=now - timedelta(days=settings.RUN_KEEP_DAYS))
    count = 0
    while ids := list(old.order_by("pk").values_list("pk", flat=True)[:PRUNE_BATCH]):
        # Chunks first and in batches: one run's log may have a hundred thousand rows.
        while chunks := list(LogChunk.objects.filter(run_id__in=ids).values_list("pk", flat=True)[:CHUNKS_BATCH]):
            LogChunk.objects.filter(pk__in=chunks).delete()
            if time.monotonic() > deadline:
                return count
        Run.objects.filter(pk__in=ids).delete()
        count += len(ids)
    return count


def _advance(run: Run, now: datetime) -> bool:
    try:
        decision = kind_named(run.kind).admit(run)
    except (OperationalError, InterfaceError):
        raise  # the database is away: no fault of the run's
    except Exception as error:  # one bad row must not keep the others waiting
        logger.exception("Run %s: the gate could not be asked.", run.pk)
        _refuse(run, f"The gate could not be asked: {error}")
        return False
    if decision.allowed:
        return _queue(run, now)
    if decision.opens_at is not None and decision.opens_at > now:
        _wait_on(run, decision.opens_at, " ".join(decision.reasons))
    else:
        _refuse(run, "Refused: " + " ".join(decision.reasons))
    return False


def _queue(run: Run, now: datetime) -> bool:
    try:
        with transaction.atomic():
            fields: dict[str, Any] = {"queued_at": now, "not_before": None, "summary": ""}
            return run_move(run_id=run.pk, to=RunState.QUEUED, before=[RunState.WAITING], **fields) is not None
    except IntegrityError:
        other = run_active_on(run.subject_id) if run.subject_id is not None else None
        _wait_on(run, now + ASK_AGAIN, f"Waits for the end of run #{other.pk}." if other else run.summary)
        return False


def _wait_on(run: Run, until: datetime, summary: str) -> None:
    with transaction.atomic():
        Run.objects.filter(pk=run.pk, state=RunState.WAITING).update(not_before=until, summary=summary[:500])
        ring_viewers(run.pk)


def _refuse(run: Run, sentence: str) -> None:
    with transaction.atomic():
        moved = run_move(run_id=run.pk, to=RunState.FAILED, before=[RunState.WAITING], summary=sentence[:500])
        if moved:
            note_append(moved, sentence)


def _folders_prune(now: datetime) -> None:
    """Remove working folders whose run is over, or unknown, for a day."""
    root: Path = settings.WORK_DIR
    for folder in root.glob("run-*"):
        number = folder.name.removeprefix("run-")
        if not number.isdigit() or now.timestamp() - folder.stat().st_mtime < FOLDER_AGE.total_seconds():
            continue
        if not Run.objects.filter(pk=int(number), state__in=ALIVE).exists():
            shutil.rmtree(folder, ignore_errors=True)
