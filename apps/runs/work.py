"""What a kind of work is given in the runner process: its folder, its log, its steps, and how to run programs.

Everything here may be called from any thread, and nothing here touches the database itself.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.runs.execution import carry_out
from apps.runs.machine import MARKER
from apps.runs.models import Step
from apps.runs.states import StepState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from apps.runs.errors import RunEnded
    from apps.runs.log import LogWriter
    from apps.runs.models import Run
    from apps.runs.recorder import Recorder


@dataclass
class StepHandle:
    """A cell of the run's matrix while it is worked on."""

    message: str = ""  # what the cell says when it is over
    exit_status: int | None = None
    state: StepState = field(default=StepState.SUCCEEDED, init=False)  # how it ends, if no exception says otherwise

    def skip(self, message: str) -> None:
        """There was nothing to do, for this reason."""
        self.state, self.message = StepState.SKIPPED, message

    def fail(self, message: str) -> None:
        """It failed, and the run goes on."""
        self.state, self.message = StepState.FAILED, message


class Work:
    """One run, being carried out. `grace`: seconds that its programs have between INT and TERM when it is stopped."""

    def __init__(self, run: Run, folder: Path, recorder: Recorder) -> None:
        self.run = run
        self.folder = folder
        self.log: LogWriter = recorder.log
        self.grace = 5.0
        self.summary = ""  # one sentence for a run that succeeds
        self.stopping = threading.Event()  # it must end, for whatever `reason`
        self.reason: RunEnded | None = None
        self.marker = {MARKER: f"{run.pk}:{run.token}"}
        self._recorder = recorder
        self._lock = threading.Lock()
        self._steps: dict[tuple[str, str], Step] = {}
        self._stages: list[str] = []
        self._callbacks: list[Callable[[str], None]] = []
        self._result: dict[str, Any] = dict(run.result)

    # Secrets and results

    def mask(self, secret: str) -> None:
        """From now on, hide this value in everything stored. Shorter than four characters, it cannot be hidden."""
        self.log.masks.add(secret)

    def remember(self, **result: Any) -> None:
        """Merge into the run's result, for those who look at it while it works and after."""
        with self._lock:
            self._result.update(self.log.shown(result))
            self.run.result = dict(self._result)
        self._recorder.result_changed(self._result)

    # Steps

    def plan_steps(self, stages: Sequence[str], hosts: Sequence[str]) -> None:
        """Show these cells as pending. The host "" is the panel's own machine."""
        planned = [self._step(stage, host) for stage in stages for host in hosts]
        self._recorder.step_changed(*planned)

    @contextmanager
    def step(self, stage: str, host: str = "", *, stoppable: bool = True) -> Iterator[StepHandle]:
        """A cell while the block runs: succeeded after it, failed or stopped when an exception leaves it.

        One that is not `stoppable` begins although the run must end: it puts something right first.
        """
        row, handle = self._step(stage, host), StepHandle()
        if stoppable:
            self.check()
        self._move(row, StepState.RUNNING, handle)
        try:
            yield handle
        except BaseException as error:
            handle.message = handle.message or str(error) or type(error).__name__
            self._move(row, StepState.STOPPED if self.stopping.is_set() else StepState.FAILED, handle)
            raise
        self._move(row, handle.state, handle)

    def end_steps(self, state: StepState) -> None:
        """What still runs has ended like this."""
        for row in list(self._steps.values()):
            if row.state == StepState.RUNNING:
                self._move(row, state, StepHandle(row.message))

    def _step(self, stage: str, host: str) -> Step:
        with self._lock:
            if stage not in self._stages:
                self._stages.append(stage)
            row = self._steps.get((stage, host))
            if row is None:
                position = self._stages.index(stage)
                row = Step(run_id=self.run.pk, stage=stage[:30], host=host[:80], position=position)
                self._steps[stage, host] = row
            return row

    def _move(self, row: Step, state: StepState, handle: StepHandle) -> None:
        now = timezone.now()
        row.state = state
        if state is StepState.RUNNING:
            row.started_at, row.ended_at = now, None
        else:
            row.ended_at = now
        row.message, row.exit_status = self.log.shown(handle.message)[:500], handle.exit_status
        self._recorder.step_changed(row)

    # Stopping

    def check(self) -> None:
        """Raise the reason (RunStopped, RunTimedOut) when the run must end."""
        if self.reason is not None:
            raise self.reason

    def add_to_reason(self, text: str) -> None:
        """What people must know beside the reason for which the run ends, such as what was undone."""
        with self._lock:
            if self.reason is not None:
                self.reason = type(self.reason)(f"{self.reason} {text}")

    @contextmanager
    def on_stop(self, callback: Callable[[str], None]) -> Iterator[None]:
        """While the block runs, a stop calls `callback` once with the reason, from another thread."""
        with self._lock:
            self._callbacks.append(callback)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

    def end(self, reason: RunEnded) -> None:
        """Make everything end; the first reason stays."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
            callbacks = list(self._callbacks)
        self.stopping.set()
        for callback in callbacks:
            # Each in its own thread: closing a connection may take its time, and the run must go on beating.
            threading.Thread(target=self._call, args=(callback, str(reason)), daemon=True).start()

    def _call(self, callback: Callable[[str], None], reason: str) -> None:
        try:
            callback(reason)
        except Exception as error:  # noqa: BLE001 - whatever it is, the stop goes on
            self.log.note(f"While stopping: {error}")

    # Programs

    def execute(
        self,
        argv: Sequence[str],
        *,
        host: str = "",
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        stage: str | None = None,
        quiet: bool = False,
    ) -> int:
        """Run a program here, its output streamed into the log under `host`; its exit status.

        `env` None is a clean environment. `quiet` leaves out the command line and the ending. `stage` makes a
        step of it, failed when the status is not 0. Raises RunStopped and RunTimedOut when the run must end
        (the program's whole process group is dead then), ProgramMissing, ProcessError.
        """
        if stage is None:
            return carry_out(self, argv, host=host, cwd=cwd, env=env, quiet=quiet)
        with self.step(stage, host) as handle:
            status = carry_out(self, argv, host=host, cwd=cwd, env=env, quiet=quiet)
            handle.exit_status = status
            if status:
                handle.fail(f"{Path(argv[0]).name} ended with status {status}.")
        return status
