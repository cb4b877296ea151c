"""What the clock does, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.agents.services.give_up import orders_expire
from apps.environments.services.status import statuses_start_due
from apps.runs.queue import ring
from apps.runs.queue_state import queue_state
from apps.runs.services import run_advance_waiting, runs_reap, runs_ring_queued, runs_settle_due
from apps.sesam.services.check_due import checks_start_due
from apps.triggers.clock import Chore
from apps.triggers.services import polls_start_due
from apps.triggers.services.advance import effects_start_due
from apps.triggers.services.pushed import firings_check_due
from apps.triggers.services.release import firings_release_due
from apps.triggers.services.schedule import schedules_check, triggers_fire_due
from apps.triggers.tallies import tallies_fold

if TYPE_CHECKING:
    from datetime import datetime

HOUR = 3600.0
# A queue that nobody empties must not fill up with beats.
BEATS_WAITING = 5
PRUNE_LIMIT = 900  # seconds; what is not done by then is done an hour later


def worker_beat_ring(now: datetime) -> None:
    """Ask for a sign of life through the queue: it proves queue and workers from end to end."""
    if queue_state(now).waiting < BEATS_WAITING:
        ring("apps.runs.beats.worker_beat", timeout=5)


def prune_ring(_now: datetime) -> None:
    ring("apps.triggers.housekeeping.prune", timeout=PRUNE_LIMIT)


CHORES = (
    Chore(name="runs_reap", every=1, work=runs_reap),
    Chore(name="runs_advance_waiting", every=1, work=run_advance_waiting),
    Chore(name="runs_ring_queued", every=2, work=runs_ring_queued),
    Chore(name="runs_settle_due", every=5, work=runs_settle_due),
    Chore(name="polls_start_due", every=1, work=polls_start_due),
    Chore(name="statuses_start_due", every=5, work=statuses_start_due),
    Chore(name="checks_start_due", every=1, work=checks_start_due),
    Chore(name="triggers_fire_due", every=1, work=triggers_fire_due),
    Chore(name="schedules_check", every=60, work=schedules_check),
    Chore(name="firings_release_due", every=1, work=firings_release_due),
    Chore(name="firings_check_due", every=1, work=firings_check_due),
    Chore(name="effects_start_due", every=5, work=effects_start_due),
    Chore(name="orders_expire", every=10, work=orders_expire),
    Chore(name="worker_beat", every=5, work=worker_beat_ring),
    Chore(name="tallies_fold", every=60, work=tallies_fold),
    Chore(name="prune", every=HOUR, work=prune_ring),
)
