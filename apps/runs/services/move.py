"""The one way in which a run changes its state."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q
from django.utils import timezone

from apps.runs.bell import ring_viewers
from apps.runs.kinds import kind_named, remote_kinds
from apps.runs.models import Run
from apps.runs.queue import ring
from apps.runs.states import ENDED, MOVES, RunState

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)
SETTLE_TIMEOUT = 50  # seconds; less than the age at which a settle counts as dead
CLEAN_UP_TIMEOUT = 300  # seconds
SPAWN_PATIENCE = timedelta(seconds=15)  # until a runner that was started must have claimed its run


def run_move(
    *, run_id: int, to: RunState, before: Sequence[RunState] = (), held_by: str | None = None, **changes: Any
) -> Run | None:
    """Move a run by a conditional UPDATE; None when it is no longer where it could have moved from.

    `before` narrows the states it may come from, `held_by` is the token of the runner that must hold it. In the same
    transaction its kind hears of it, the viewers and the queue are rung.
    """
    now = timezone.now()
    usual = (state for state in RunState if state is not RunState.LOST)  # a lost run moves only when that is meant
    sources = [state for state in before or usual if to in MOVES[state]]
    if to in ENDED:
        changes.setdefault("ended_at", now)
    with transaction.atomic():
        rows = Run.objects.filter(pk=run_id, state__in=sources)
        if held_by is not None:
            rows = rows.filter(token=held_by)
        if not rows.update(state=to, **changes):
            return None
        run = Run.objects.select_related("subject", "requested_by").get(pk=run_id)
        _tell_kind(run)
        ring_viewers(run_id)
        _ring_for(run)
    return run


def _tell_kind(run: Run) -> None:
    """A fault of the kind's must not hold the run in its state for ever."""
    try:
        with transaction.atomic():
            kind_named(run.kind).moved(run)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("Run %s: its kind %r failed to hear that it is %s.", run.pk, run.kind, run.state)


def run_ring_start(run_id: int) -> None:
    """Tell the queue to start a queued run."""
    Run.objects.filter(pk=run_id).update(rung_at=timezone.now())
    ring("apps.runs.tasks.start", run_id, timeout=60)


def _ring_for(run: Run) -> None:
    if run.state == RunState.QUEUED and run.kind not in remote_kinds():
        run_ring_start(run.pk)
    if run.state not in ENDED:
        return
    if run.state == RunState.LOST:
        ring("apps.runs.tasks.clean_up", run.pk, timeout=CLEAN_UP_TIMEOUT)  # which then settles
    else:
        ring("apps.runs.tasks.settle", run.pk, timeout=SETTLE_TIMEOUT)
    _ring_next()


def _ring_next() -> None:
    """A place is free: the queued run that has waited longest may take it, an exclusive one before any other."""
    stale = timezone.now() - SPAWN_PATIENCE
    waiting = Run.objects.filter(Q(spawned_at=None) | Q(spawned_at__lt=stale), state=RunState.QUEUED)
    waiting = waiting.exclude(kind__in=remote_kinds())
    if (run_id := waiting.order_by("-exclusive", "pk").values_list("pk", flat=True).first()) is not None:
        run_ring_start(run_id)
