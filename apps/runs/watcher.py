"""The runner's second thread: beats once a second, and sees whatever must end the run.

A request to stop (on the row, or a signal to this process), the limits on total time and on silence,
the row having become another's, and the work not coming back after it was told to. A third thread sees
that this machine alone may be cut off from the database, also while the second hangs in it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from apps.runs.errors import RunEnded, RunStopped, RunTimedOut
from apps.runs.models import Run
from apps.runs.services import run_move
from apps.runs.states import ALIVE, RunState

if TYPE_CHECKING:
    from collections.abc import Callable

    from apps.runs.work import Work

logger = logging.getLogger(__name__)
LOOK = 0.5  # seconds between two looks at the run's row
BEAT = 1.0  # seconds between two beats
PATIENCE = 10.0  # seconds beyond the grace, in which the work must come back after a stop
# Seconds without a beat, after which the work is given up. Where the database is away for all, nobody can declare the
# run lost, and so long a restart must do no harm. Where only this machine is cut off, another's clock declares it lost
# after RUN_LOST_AFTER, and another run may work on the same hosts: it must not go on for long beside that.
CUT_OFF = 60.0
ENDING_LIMIT = 180.0  # seconds from the end of the work to that of the run; then the reaper has it


class Watcher:
    """`on_taken` is called when the run is no longer ours, may be another's, or hangs at its very end; `on_stuck`
    when the work does not come back."""

    def __init__(self, work: Work, on_taken: Callable[[], None], on_stuck: Callable[[], None]) -> None:
        self._work = work
        self._run_id, self._token = work.run.pk, work.run.token
        self._on_taken, self._on_stuck = on_taken, on_stuck
        self._began = time.monotonic()
        self._beaten_at = 0.0
        self._heard_at = self._began  # when the last beat that was stored was sent
        self._told_at: float | None = None
        self._terminated = ""
        self._over_at: float | None = None  # nothing ends the work any more
        self._stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()
        if _is_shared():
            threading.Thread(target=self._guard, name="guard", daemon=True).start()

    def over(self) -> None:
        """The work has come back: beat on, but let nothing end it any more."""
        if self._over_at is None:
            self._over_at = time.monotonic()

    def stop(self) -> None:
        """Return when the thread is gone (or, should the database hang, five seconds later)."""
        self.over()
        self._stopped = True
        self._wake.set()
        self._thread.join(5)

    def terminate(self, signal_name: str) -> None:
        """The system wants this process to end. May be called from a signal handler."""
        self._terminated = signal_name
        self._wake.set()

    def _watch(self) -> None:
        try:
            while not self._stopped:
                self._look()
                self._wake.wait(LOOK)
                self._wake.clear()
        finally:
            connection.close()

    def _guard(self) -> None:
        """Asks the database nothing: one that is cut off may let its callers hang for a quarter of an hour."""
        while not self._stopped and self._over_at is None:
            silent = time.monotonic() - self._heard_at
            if silent > max(CUT_OFF, settings.RUN_LOST_AFTER):
                logger.error("Run %s could not beat for %.0f s: others may take it for lost.", self._run_id, silent)
                self._on_taken()
                return
            time.sleep(LOOK)

    def _look(self) -> None:
        try:
            if self._terminated:
                self._stop_by_system()
            self._beat()
        except (DatabaseError, InterfaceError) as error:
            # Locked, or away: the work goes on, and the reaper has patience.
            logger.warning("Run %s cannot beat now: %s", self._run_id, error)
            connection.close()
        except Exception:
            logger.exception("Run %s: the watcher failed; it goes on.", self._run_id)
        if self._over_at is None:
            self._limits()
        elif time.monotonic() - self._over_at > ENDING_LIMIT and not self._stopped:
            self._on_taken()

    def _beat(self) -> None:
        mine = Run.objects.filter(pk=self._run_id, token=self._token, state__in=ALIVE)
        if time.monotonic() - self._beaten_at >= BEAT:
            self._beaten_at = time.monotonic()
            if mine.update(heartbeat_at=timezone.now()):
                self._heard_at = self._beaten_at
        row = mine.values_list("state", "stop_requested_by").first()
        if row is None:
            if not self._stopped:
                self._on_taken()
        elif row[0] == RunState.STOPPING:
            self._tell(RunStopped(f"Stopped by {row[1]}."))

    def _stop_by_system(self) -> None:
        reason = f"The system ended the runner ({self._terminated})."
        self._tell(RunStopped(reason))
        asked = {"stop_requested_at": timezone.now(), "stop_requested_by": "the system"}
        run_move(run_id=self._run_id, to=RunState.STOPPING, before=[RunState.RUNNING], held_by=self._token, **asked)
        self._terminated = ""

    def _limits(self) -> None:
        now, run = time.monotonic(), self._work.run
        if self._told_at is not None:
            if now - self._told_at > self._work.grace + PATIENCE:
                self.over()
                # In a thread of its own: this one beats until the end is stored.
                threading.Thread(target=self._on_stuck, name="ender", daemon=True).start()
        elif now - self._began > run.time_limit:
            self._tell(RunTimedOut(f"It took longer than its limit of {run.time_limit} seconds."))
        elif now - self._work.log.last_output > run.silence_limit:
            self._tell(RunTimedOut(f"Nothing was heard of it for {run.silence_limit} seconds."))

    def _tell(self, reason: RunEnded) -> None:
        if self._told_at is None and self._over_at is None:
            self._told_at = time.monotonic()
            self._work.log.note(str(reason))
            self._work.end(reason)


def _is_shared() -> bool:
    """Whether other machines may see the database when this one does not: SQLite is a file of this machine's."""
    return connection.vendor != "sqlite"


def vanish() -> None:
    """End this process at once, whatever its threads do."""
    os._exit(70)
