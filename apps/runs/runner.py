"""The runner: one process that carries out one run, and ends it truthfully itself.

Two threads besides the work's own: the recorder stores, the watcher beats and sees stops and limits.
Nothing of the run is left on this machine when it ends, however it ends.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from apps.access.errors import PanelError
from apps.runs import process
from apps.runs.errors import RunFailed, RunStopped, RunTaken, RunTimedOut
from apps.runs.folders import run_folder
from apps.runs.kinds import kind_named
from apps.runs.log import LogWriter
from apps.runs.machine import MARKER, adopt_orphans, kill_descendants
from apps.runs.patience import patiently
from apps.runs.recorder import Recorder
from apps.runs.services import run_claim, run_move
from apps.runs.states import RunState, StepState
from apps.runs.watcher import Watcher, vanish
from apps.runs.work import Work

if TYPE_CHECKING:
    from pathlib import Path

    from apps.runs.models import Run

logger = logging.getLogger(__name__)
STORE_PATIENCE = 60.0  # seconds that the database may be away when the run ends
INTERRUPTED = {RunState.STOPPED: StepState.STOPPED}


@dataclass(frozen=True)
class Outcome:
    """How the work came back."""

    state: RunState
    summary: str = ""


def run_carry_out(run_id: int) -> bool:
    """Claim a queued run and carry it out, to its end; False when it is not queued (any more)."""
    run = patiently(lambda: run_claim(run_id=run_id), seconds=STORE_PATIENCE)
    if run is None:
        return False
    Runner(run).carry_out()
    return True


class Runner:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._ending = threading.Lock()
        folder = run_folder(run.pk)
        self._recorder = Recorder(run, LogWriter(limit=settings.RUN_LOG_LIMIT), self._taken)
        self._work = Work(run, folder, self._recorder)
        self._watcher = Watcher(self._work, self._taken, self._stuck)

    def carry_out(self) -> None:
        os.environ[MARKER] = self._work.marker[MARKER]
        os.umask(0o022)  # what a build writes must not depend on who started the panel
        process.interrupt_by(self._work.stopping, self._work.check)
        adopt_orphans()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _: self._watcher.terminate(signal.Signals(got).name))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._recorder.start()
        self._watcher.start()
        try:
            outcome = self._outcome()
            if not self._ending.acquire(blocking=False):
                threading.Event().wait()  # the watcher ends the run, and this process with it
            self._end(outcome, patience=STORE_PATIENCE)
        finally:
            kill_descendants()

    def _outcome(self) -> Outcome:
        work = self._work
        work.log.note(_greeting(self._run))
        try:
            _fresh(work.folder)
            kind = kind_named(self._run.kind)
            decision = kind.admit(self._run)
            if not decision.allowed:
                for reason in decision.reasons:
                    work.log.note(f"Refused: {reason}")
                return Outcome(RunState.FAILED, "Refused: " + " ".join(decision.reasons))
            work.check()
            kind.execute(work)
        except BaseException as error:  # noqa: BLE001 - SystemExit too: the run must end truthfully
            return self._ended_by(error)
        return Outcome(RunState.SUCCEEDED, work.summary)

    def _ended_by(self, error: BaseException) -> Outcome:
        work = self._work
        if isinstance(error, RunTaken):
            self._taken()
        # Whatever broke after it was told to end, broke because of that.
        reason = work.reason or error
        if isinstance(reason, RunStopped | RunTimedOut):
            return Outcome(_interrupted(reason), str(reason))
        if isinstance(error, RunFailed | PanelError):
            work.log.note(f"Failed: {error}")
            if hint := getattr(error, "hint", ""):
                work.log.note(hint)
            return Outcome(RunState.FAILED, str(error))
        work.log.note(_traceback(error))
        return Outcome(RunState.ERRORED, f"{type(error).__name__}: {error}")

    def _end(self, outcome: Outcome, *, patience: float) -> None:
        """Store everything, then let go of the run. The watcher beats until that is done."""
        self._watcher.over()
        work, run = self._work, self._run
        work.end_steps(INTERRUPTED.get(outcome.state, StepState.FAILED))
        killed = kill_descendants()
        if killed:
            work.log.note(f"{killed} processes that it had left running were killed.")
        work.log.note(_farewell(run, outcome))
        if not self._recorder.close(patience):
            logger.error("Run %s: the end of its log could not be stored.", run.pk)
        summary = work.log.shown(outcome.summary)[:500]
        self._watcher.stop()
        patiently(
            lambda: run_move(run_id=run.pk, to=outcome.state, held_by=run.token, summary=summary), seconds=patience
        )
        shutil.rmtree(work.folder, ignore_errors=True)  # may take a while, and the end is known

    def _stuck(self) -> None:
        """In a thread of the watcher's: the work was told to end and did not come back in time."""
        if not self._ending.acquire(blocking=False):
            return
        reason = self._work.reason
        self._work.log.note("It did not come to its end by itself and is ended by force.")
        try:
            self._end(Outcome(_interrupted(reason), str(reason)), patience=5)
        finally:
            vanish()

    def _taken(self) -> None:
        """In any thread: the run is, or may be, another's now. Leave nothing of it, touch nothing of its row."""
        logger.error("Run %s is no longer this runner's; it vanishes.", self._run.pk)
        kill_descendants()
        shutil.rmtree(self._work.folder, ignore_errors=True)
        vanish()


def _interrupted(reason: BaseException | None) -> RunState:
    return RunState.TIMED_OUT if isinstance(reason, RunTimedOut) else RunState.STOPPED


def _fresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)


def _greeting(run: Run) -> str:
    subject = f" of {run.subject_path}" if run.subject_path else ""
    return f"Run #{run.pk}: {run.kind}{subject}, asked for by {run.requested_name}. Runner {run.pid} on {run.machine}."


def _farewell(run: Run, outcome: Outcome) -> str:
    began = run.started_at or timezone.now()
    seconds = (timezone.now() - began).total_seconds()
    sentence = f"Run #{run.pk}: {RunState(outcome.state).label.lower()} after {seconds:.1f} s."
    return f"{sentence} {outcome.summary}".rstrip()


def _traceback(error: BaseException) -> str:
    """As Python writes it, without the folder that the panel is installed in."""
    return "".join(traceback.format_exception(error)).replace(f"{settings.BASE_DIR}/", "")
