"""A `shell` step: its commands one after the other, each exactly once, its attempts, its time-out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploypanel_agent.command import Command, Found, wait_begun
from deploypanel_agent.ending import Ending
from deploypanel_agent.limits import Leaving, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploypanel_agent.build_script import Shell
    from deploypanel_agent.output import Output
    from deploypanel_agent.story import Story

SHORTEST_TICK = 0.004  # seconds between two looks at a command
LONGEST_TICK = 0.05


@dataclass(frozen=True)
class Done:
    """How a step ended. `exit`: its last command's status, None when there is none."""

    ok: bool
    message: str = ""
    exit: int | None = None
    final: bool = False  # neither another attempt nor “continue on error”: nobody knows what it did


class ShellAttempt:
    """One attempt at one step."""

    def __init__(
        self,
        step: Shell,
        attempt: int,
        *,
        folder: Path,
        shell: str,
        env: Mapping[str, str],
        story: Story,
        limits: Limits,
    ) -> None:
        self._step = step
        self._name = f"{step.position}-{attempt}"
        self._folder = folder
        self._shell = shell
        self._env = env
        self._story = story
        self._limits = limits
        self._deadline: float | None = None

    def run(self) -> Done:
        """Do what is left of it. Raises Cut (everything it started is ended then) and Leaving (all of it goes on)."""
        status = 0
        for index, text in enumerate(self._step.commands):
            key = f"{self._name}-{index}"
            self._story.note(f"$ {_shown(self._step, text)}\n", key=f"begin {key}")
            command = Command(self._folder / key, self._shell, text)
            try:
                done = self._one(command, key)
            finally:
                command.close()
            if done is not None:
                return done
            status = command.status or 0
        return Done(True, exit=status)

    def _one(self, command: Command, key: str) -> Done | None:
        """None: it went well."""
        outputs = [self._story.output(command.folder / stream, stream, key) for stream in ("out", "err")]
        try:
            found = self._to_end(command, outputs)
        finally:
            for output in outputs:
                output.close()
        if isinstance(found, Done):
            return found
        if found is Found.LOST:
            return Done(False, "It was cut off and may have run in part; it is not run again.", final=True)
        if found is Found.NEVER:
            return Done(False, "It could not be begun: is the disk full?")
        status = command.status
        return None if status == 0 else Done(False, _ended(status or 0), exit=status)

    def _to_end(self, command: Command, outputs: list[Output]) -> Found | Done:
        tick, started = SHORTEST_TICK, False
        while True:
            found = command.look()
            if found is Found.NEVER and not started:
                refused = self._start(command)
                if refused:
                    return refused
                started = True
                continue
            ended = found is not Found.WORKING
            if any(output.take(self._story.at, final=ended) for output in outputs):
                self._limits.heard()
                tick = SHORTEST_TICK
            if ended:
                return found
            late = self._guard(command, outputs)
            if late:
                return late
            time.sleep(tick)
            tick = min(LONGEST_TICK, tick * 1.5)

    def _start(self, command: Command) -> Done | None:
        """None: it has begun."""
        self._limits.check()
        cwd = self._step.options.cwd
        if cwd and not Path(cwd).is_dir():
            return Done(False, f"The folder of “cwd”, {cwd}, does not exist.")
        try:
            command.start(env=self._env, cwd=cwd or None)
        except OSError as error:
            return Done(False, f"It could not be begun: {error.strerror or error}.")
        return None

    def _guard(self, command: Command, outputs: list[Output]) -> Done | None:
        """End the command when the run or the attempt has to end."""
        try:
            self._limits.check()
        except Leaving:
            raise
        except Exception:
            self._end(command, outputs)
            raise
        if not self._is_late(command):
            return None
        self._end(command, outputs)
        return Done(False, f"It took longer than {self._step.options.timeout:g} s.")

    def _is_late(self, command: Command) -> bool:
        timeout = self._step.options.timeout
        if timeout is None:
            return False
        if self._deadline is None:
            first = Command(self._folder / f"{self._name}-0", self._shell, "").begun_at() or time.time()
            gone = min(max(0.0, time.time() - first), timeout)
            self._deadline = time.monotonic() + timeout - gone
        return time.monotonic() > self._deadline

    def _end(self, command: Command, outputs: list[Output]) -> None:
        wait_begun(command)
        Ending(command, self._story).run(outputs)


def _shown(step: Shell, text: str) -> str:
    """A line as it is; of a script its first line."""
    if not step.script:
        return text
    lines = step.text.strip().splitlines()
    return lines[0] + (f"  (and {len(lines) - 1} more lines)" if len(lines) > 1 else "")


def _ended(status: int) -> str:
    if status > 128:
        return f"It was ended by signal {status - 128}."
    if status == 127:
        return "It ended with status 127: the program was not found."
    return f"It ended with status {status}."
