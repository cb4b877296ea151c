"""What the clock does, and how often."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from apps.runs.beats import beats_prune
from apps.runs.queue import ring
from apps.runs.queue_state import queue_state, tasks_prune
from apps.triggers.clock import Chore

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

MINUTE, HOUR = 60.0, 3600.0
# A queue that nobody empties must not fill up with beats.
BEATS_WAITING = 5


def worker_beat_ring(now: datetime) -> None:
    """Ask for a sign of life through the queue: it proves queue and workers from end to end."""
    if queue_state(now).waiting < BEATS_WAITING:
        ring("apps.runs.beats.worker_beat", timeout=5)


def _there(module: str, name: str) -> Callable[[datetime], object]:
    """The function once its app has it."""

    def work(now: datetime) -> object:
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            return None
        return function(now)

    return work


CHORES = (
    Chore(name="runs_reap", every=1, work=_there("apps.runs.services", "runs_reap")),
    Chore(name="runs_advance_waiting", every=1, work=_there("apps.runs.services", "run_advance_waiting")),
    Chore(name="runs_ring_queued", every=2, work=_there("apps.runs.services", "runs_ring_queued")),
    Chore(name="runs_settle_due", every=5, work=_there("apps.runs.services", "runs_settle_due")),
    Chore(name="polls_start_due", every=1, work=_there("apps.triggers.services", "polls_start_due")),
    Chore(name="statuses_start_due", every=5, work=_there("apps.environments.services", "statuses_start_due")),
    Chore(name="worker_beat", every=5, work=worker_beat_ring),
    Chore(name="tasks_prune", every=10 * MINUTE, work=lambda now: tasks_prune(now=now)),
    Chore(name="beats_prune", every=HOUR, work=lambda now: beats_prune(now=now)),
    Chore(name="runs_prune", every=HOUR, work=_there("apps.runs.services", "runs_prune")),
    Chore(name="deliveries_prune", every=HOUR, work=_there("apps.triggers.services", "deliveries_prune")),
)
