"""Runs whose runner is gone: ended as `lost`, their lock freed, what they left here killed."""

from __future__ import annotations

import logging
import shutil
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from apps.runs.folders import run_folder
from apps.runs.kinds import kind_named
from apps.runs.machine import boot_id, is_alive, kill_leftovers, machine_name
from apps.runs.models import Run, Step
from apps.runs.recorder import note_append
from apps.runs.services.move import run_move
from apps.runs.states import ALIVE, RunState, StepState

logger = logging.getLogger(__name__)
BLINK = timedelta(seconds=5)  # without a look for this long, we cannot tell silence from our own absence
AFTERCARE = timedelta(seconds=60)  # leftovers of lost runs are looked for again for so long


class Watch:
    """Since when somebody has looked without a break.

    When the panel, or the database, was away for a minute, every run was silent for that minute: they
    get RUN_LOST_AFTER anew to be heard.
    """

    def __init__(self) -> None:
        self.since: datetime | None = None
        self._last: datetime | None = None

    def look(self, now: datetime) -> datetime:
        if self.since is None or self._last is None or now - self._last > BLINK:
            self.since = now
        self._last = now
        return self.since


_watch = Watch()


def runs_reap(now: datetime, watch: Watch | None = None) -> int:
    """End runs as lost whose runner is gone or silent; how many. To be called every second or so."""
    since = (watch or _watch).look(now)
    count = 0
    for run in Run.objects.filter(state__in=ALIVE):
        if reason := _why_lost(run, now, since):
            count += _lose(run, reason)
    runs_leftovers_kill(now)
    return count


def runs_leftovers_kill(now: datetime) -> int:
    """Kill what lost runs have left on this machine; how many processes. For each machine to call on itself."""
    lost = Run.objects.filter(state=RunState.LOST, machine=machine_name(), ended_at__gt=now - AFTERCARE)
    count = 0
    for run in lost.exclude(token=""):
        session = run.pid if run.boot_id == boot_id() else None
        killed = kill_leftovers(f"{run.pk}:{run.token}", session, run.pid_started)
        shutil.rmtree(run_folder(run.pk), ignore_errors=True)
        if killed:
            logger.warning("Run %s: %s processes that it left on this machine were killed.", run.pk, killed)
        count += killed
    return count


def _why_lost(run: Run, now: datetime, since: datetime) -> str:
    """A sentence, or nothing while there is hope."""
    if run.machine == machine_name():
        if run.boot_id != boot_id():
            return "The machine was restarted in the middle of it."
        if run.pid is not None and not is_alive(run.pid, run.pid_started):
            return "Its runner was killed."
    heard = run.heartbeat_at or run.started_at
    patience = _patience(run)
    if heard is not None and now - max(heard, since) <= timedelta(seconds=patience):
        return ""
    return f"Its runner on {run.machine} was not heard of for {patience:.0f} seconds."


def _patience(run: Run) -> float:
    try:
        return kind_named(run.kind).lost_after(run)
    except KeyError:  # no app knows this kind any more
        return float(settings.RUN_LOST_AFTER)


def _lose(run: Run, reason: str) -> bool:
    sentence = f"{reason} How far it came is not known."
    with transaction.atomic():
        lost = run_move(run_id=run.pk, to=RunState.LOST, held_by=run.token, summary=sentence)
        if lost is None:
            return False
        Step.objects.filter(run=lost, state=StepState.RUNNING).update(
            state=StepState.FAILED, ended_at=lost.ended_at, message="The run was lost."
        )
        Run.objects.filter(pk=lost.pk).update(steps_version=lost.steps_version + 1)
        note_append(lost, f"Lost: {sentence}")
    logger.warning("Run %s is lost: %s", run.pk, reason)
    return True
