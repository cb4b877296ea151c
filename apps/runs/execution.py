"""One program of a run from its start to its end, however that comes: streamed, limited, stopped.

A stop escalates on the whole process group, INT, then TERM, then KILL, and each signal is written to
the log.
"""

from __future__ import annotations

import shlex
import signal
import time
from typing import TYPE_CHECKING

from apps.runs.models import Stream
from apps.runs.process import Child

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from apps.runs.work import Work

KILL_AFTER = 3.0  # seconds from TERM to KILL
LOOK_EVERY = 0.2  # seconds between two looks at whether the run must end


def carry_out(
    work: Work,
    argv: Sequence[str],
    *,
    host: str,
    cwd: Path | str | None,
    env: Mapping[str, str] | None,
    quiet: bool,
) -> int:
    """See Work.execute."""
    work.check()
    if not quiet:
        work.log.note(f"$ {shlex.join(argv)}", host)
    begun = time.monotonic()
    with Child(argv, cwd=cwd, env=env) as child:
        escalation = Escalation(work, child, host)
        while not child.finished or escalation.goes_on:
            for stream, data in child.read(LOOK_EVERY):
                (work.log.out if stream is Stream.OUT else work.log.err)(data, host)
            escalation.advance()
        work.log.end_line(host)
        status = child.status or 0
    if not quiet:
        work.log.note(f"{child.name} {ending(status)} after {time.monotonic() - begun:.1f} s (pid {child.pid})", host)
    work.check()
    return status


def ending(status: int) -> str:
    """`ended with status 1`, `was ended by SIGKILL`."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


class Escalation:
    """The signals that one program still gets, once the run must end."""

    def __init__(self, work: Work, child: Child, host: str) -> None:
        self._work, self._child, self._host = work, child, host
        self._next = 0
        self._due = 0.0  # monotonic

    @property
    def goes_on(self) -> bool:
        """The program itself is gone, but not all of its group."""
        return 0 < self._next < 3 and self._child.group_alive

    def advance(self) -> None:
        """Send the next signal when its time has come."""
        if not self._work.stopping.is_set() or self._next == 3 or time.monotonic() < self._due:
            return
        number, patience = (
            (signal.SIGINT, self._work.grace),
            (signal.SIGTERM, KILL_AFTER),
            (signal.SIGKILL, 0.0),
        )[self._next]
        self._work.log.note(
            f"{number.name} to {self._child.name} and all it started (group {self._child.pid})", self._host
        )
        self._child.signal(number)
        self._next += 1
        self._due = time.monotonic() + patience
