"""How the queue stands: what waits, for how long, and what was taken and never given back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone
from django_q.models import OrmQ, Task

from apps.runs.broker import MARGIN

# Past its own time limit a task was either ended or killed; its row should be gone this much later.
LATE = timedelta(seconds=5)
KEEP_DONE = timedelta(hours=1)  # django-q2 keeps a row of each task; nobody reads those that went well
KEEP_FAILED = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class QueueState:
    waiting: int
    oldest: float  # seconds that the oldest waiting task has waited; 0 when none waits


def queue_state(now: datetime | None = None) -> QueueState:
    """What waits for a worker. The queue stamps a row's lock with the time at which it was put in."""
    now = now or timezone.now()
    locks = list(OrmQ.objects.filter(lock__lte=now).order_by("lock").values_list("lock", flat=True)[:1000])
    oldest = (now - locks[0]).total_seconds() if locks else 0.0
    return QueueState(waiting=len(locks), oldest=oldest)


def queue_length() -> int:
    """All tasks on the queue, those that a worker has taken included."""
    return int(OrmQ.objects.count())


def tasks_unacknowledged(since: datetime, now: datetime | None = None) -> int:
    """Tasks taken after `since` whose time limit is over and which nobody has taken off the queue."""
    now = now or timezone.now()
    count = 0
    for row in OrmQ.objects.filter(lock__gt=now, lock__lt=now + MARGIN - LATE)[:100]:
        limit = timedelta(seconds=row.task.get("timeout") or 0)
        count += bool(limit) and row.lock - MARGIN - limit > since
    return count


def tasks_failed(since: datetime) -> list[str]:
    """Tasks that raised since then: what was called and the last line of what it said."""
    rows = Task.objects.filter(success=False, stopped__gte=since).order_by("-stopped")[:20]
    return [f"{row.func}: {str(row.result).strip().splitlines()[-1][:300]}" for row in rows]


def tasks_prune(*, now: datetime) -> int:
    """Delete the queue's rows of what is long done."""
    old = Q(success=True, stopped__lt=now - KEEP_DONE) | Q(success=False, stopped__lt=now - KEEP_FAILED)
    return int(Task.objects.filter(old).delete()[0])
