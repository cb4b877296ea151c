"""From the queue to a runner process, and the runner's claim."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.runs.machine import boot_id, machine_name, own_start_time
from apps.runs.models import Lease, Run
from apps.runs.process import spawn_detached
from apps.runs.recorder import note_append
from apps.runs.services.move import SPAWN_PATIENCE, run_move
from apps.runs.states import ALIVE, RunState

logger = logging.getLogger(__name__)
SPAWNS = 5  # runners in vain, SPAWN_PATIENCE each; the next would die of the same
LOG_SIZE = 5 * 1024 * 1024  # bytes; then the runners' own log is begun anew, the old one kept


def run_start(*, run_id: int) -> None:
    """Start a runner for a queued run when this machine has a place free. Does not wait for it.

    Harmless when delivered twice: the runner claims the run, and one that comes too late does nothing. A run whose
    runners die before they can claim it fails in the end.
    """
    if not _place_taken(run_id):
        _give_up(run_id)
        return
    command = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "run_work", str(run_id)]
    env = {**os.environ, "DEPLOYPANEL_ROLE": "runner"}
    pid = spawn_detached(command, env=env, log=_runner_log())
    logger.info("Run %s: runner started, pid %s.", run_id, pid)


def run_claim(*, run_id: int) -> Run | None:
    """Make this process the runner of a queued run; None when it is not queued any more."""
    now = timezone.now()
    return run_move(
        run_id=run_id,
        to=RunState.RUNNING,
        before=[RunState.QUEUED],
        token=secrets.token_hex(16),
        started_at=now,
        heartbeat_at=now,
        machine=machine_name(),
        boot_id=boot_id(),
        pid=os.getpid(),
        pid_started=own_start_time(),
    )


def _place_taken(run_id: int) -> bool:
    """Whether a place on this machine was free, and is now this run's."""
    now, here = timezone.now(), machine_name()
    fresh = Q(spawned_at__gt=now - SPAWN_PATIENCE)
    with transaction.atomic():
        # One worker of this machine counts at a time.
        Lease.objects.get_or_create(name=f"places@{here}"[:60], defaults={"expires_at": now + timedelta(days=1)})
        Lease.objects.select_for_update().get(name=f"places@{here}"[:60])
        on_machine = Run.objects.filter(machine=here)
        held = on_machine.filter(Q(state__in=ALIVE) | (Q(state=RunState.QUEUED) & fresh))
        if held.count() >= settings.RUNS_PARALLEL:
            return False
        mine = Run.objects.filter(pk=run_id, state=RunState.QUEUED, spawns__lt=SPAWNS).exclude(fresh)
        if held.filter(exclusive=False).count() >= max(1, settings.RUNS_PARALLEL - 1):
            mine = mine.filter(exclusive=True)  # what may be asked for in any number leaves a place to the others
        return bool(mine.update(spawned_at=now, machine=here, spawns=F("spawns") + 1))


def _give_up(run_id: int) -> None:
    """End a run for which the last runner that it gets has had its time."""
    spent = Run.objects.filter(pk=run_id, state=RunState.QUEUED, spawns__gte=SPAWNS)
    run = spent.filter(spawned_at__lt=timezone.now() - SPAWN_PATIENCE).first()
    if run is None:
        return
    sentence = f"{SPAWNS} runners were started for it and none came to work: see logs/runners.log on {run.machine}."
    with transaction.atomic():
        if moved := run_move(run_id=run_id, to=RunState.FAILED, before=[RunState.QUEUED], summary=sentence):
            note_append(moved, sentence)
            logger.error("Run %s: %s", run_id, sentence)


def _runner_log() -> Path:
    """Where a runner says what it cannot say in the run's log, such as that it cannot reach the database."""
    path: Path = settings.DATA_DIR / "logs" / "runners.log"
    if path.exists() and path.stat().st_size > LOG_SIZE:
        path.replace(path.with_suffix(".log.1"))
    return path
