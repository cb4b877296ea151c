"""What follows the end of a run, once; and what a lost run left on hosts."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.runs.kinds import followers, kind_named
from apps.runs.models import Run
from apps.runs.queue import ring
from apps.runs.queue_state import queue_length
from apps.runs.services.move import CLEAN_UP_TIMEOUT, SETTLE_TIMEOUT
from apps.runs.states import ENDED, RunState

logger = logging.getLogger(__name__)
DEAD_AFTER = timedelta(seconds=SETTLE_TIMEOUT + 10)  # a worker that claimed a settle this long ago was killed
ATTEMPTS = 5
LATER = timedelta(hours=1)  # after which those that used them up are tried again: nothing else may follow up the run
TOO_LATE = timedelta(days=1)  # after the end
QUEUE_FULL = 50  # waiting tasks: nobody takes them, more rings do not help


def run_settle(*, run_id: int) -> None:
    """Do what follows the end. Claimed first, so that of two deliveries one does nothing.

    A settle that raises is logged and counts as done; one whose worker was killed is claimed again.
    """
    now = timezone.now()
    free = Q(settling_at=None) | Q(settling_at__lt=now - DEAD_AFTER)
    mine = Run.objects.filter(free, _has_attempts(now), pk=run_id, state__in=ENDED, settled_at=None)
    if not mine.update(settling_at=now, settle_attempts=F("settle_attempts") + 1):
        return
    run = Run.objects.select_related("subject", "requested_by").get(pk=run_id)
    try:
        kind_named(run.kind).settle(run)
    except DatabaseError:
        raise  # tried again: it may have been away
    except Exception:
        logger.exception("Run %s: what follows its end failed.", run_id)
    _tell_followers(run)
    Run.objects.filter(pk=run_id, settling_at=now).update(settled_at=timezone.now())


def _tell_followers(run: Run) -> None:
    for follower in followers():
        try:
            follower(run)
        except DatabaseError:
            raise
        except Exception:
            logger.exception("Run %s: who follows ended runs failed to hear of it.", run.pk)


def run_clean_up(*, run_id: int) -> None:
    """End what a lost run left on hosts; then settle it, also when that could not be done."""
    run = Run.objects.select_related("subject", "requested_by").filter(pk=run_id, state=RunState.LOST).first()
    if run is None:
        return
    try:
        kind_named(run.kind).clean_up(run)
    except Exception:
        logger.exception("Run %s: what it left on hosts could not be ended.", run_id)
    finally:
        if run.settled_at is None:
            ring("apps.runs.tasks.settle", run_id, timeout=SETTLE_TIMEOUT)


def runs_settle_due(now: datetime) -> int:
    """Ring again for ended runs whose settle was lost with its worker; how many."""
    if queue_length() > QUEUE_FULL:
        return 0
    # A lost run's clean-up comes first and may take its time.
    late = Q(ended_at__lt=now - DEAD_AFTER) & ~Q(state=RunState.LOST)
    late |= Q(ended_at__lt=now - DEAD_AFTER - timedelta(seconds=CLEAN_UP_TIMEOUT), state=RunState.LOST)
    dead = Q(settling_at=None) | Q(settling_at__lt=now - DEAD_AFTER)
    due = Run.objects.filter(late, dead, _has_attempts(now), state__in=ENDED, settled_at=None)
    ids = list(due.order_by("pk").values_list("pk", flat=True)[:20])
    for run_id in ids:
        with transaction.atomic():
            ring("apps.runs.tasks.settle", run_id, timeout=SETTLE_TIMEOUT)
    return len(ids)


def _has_attempts(now: datetime) -> Q:
    """Five in quick succession; then one an hour, for the day on which it still matters."""
    return Q(settle_attempts__lt=ATTEMPTS) | Q(settling_at__lt=now - LATER, ended_at__gt=now - TOO_LATE)
