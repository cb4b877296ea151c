"""One process that starts the panel's others, starts them again when they die, and stops them all.

    panel ── web        uvicorn on a socket that the supervisor holds
          ├─ worker     django-q2's cluster, a session of its own
          ├─ clock      what is due, every second
          └─ demo       an sshd for each of the demo's hosts, a node for each of its nodes

Signals go to the main process of each, never to a group: django-q2 hangs for ever otherwise. What does not
end by its limit is killed with its whole session. Runners have sessions of their own and are never touched.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.utils import timezone

from apps.runs.machine import adopt_orphans
from deploypanel import leash
from deploypanel.leftovers import MARKER, ROLE, kill_leftovers, kill_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path
    from types import FrameType

TICK = 0.1  # seconds between two looks at the children
STOP_LIMIT = 12.0  # seconds from the request to stop to the kill
PAUSES = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before each new start of a child that keeps dying
STEADY = 60.0  # seconds of life after which a child's earlier deaths are forgotten


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, in which role; `last` are stopped only when the others have ended."""

    role: str
    name: str
    argv: Sequence[str]
    descriptors: tuple[int, ...] = ()
    last: bool = False
    # Sent when the supervisor itself is killed; the workers' main process must end its own.
    on_orphaned: int = int(signal.SIGKILL)


@dataclass
class Child:
    """A program and the process that runs it now, if any."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    since: datetime | None = None
    started: float = 0.0
    deaths: int = 0
    pause: float = 0.0  # seconds from its last end to its next start
    start_at: float = 0.0

    def start(self, data: Path) -> None:
        environment = os.environ | {MARKER: str(data), ROLE: self.program.role}
        leashed = [
            sys.executable,
            "-I",
            "-S",
            str(leash.__file__),
            str(os.getpid()),
            str(self.program.on_orphaned),
        ]
        self.process = subprocess.Popen(
            [*leashed, *self.program.argv],
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=self.program.descriptors,
        )
        self.started, self.since = time.monotonic(), timezone.now()

    def ended(self) -> str:
        """Note that the process is gone; how it ended, in words."""
        assert self.process is not None
        status = self.process.wait()
        kill_session(self.process.pid)
        self.process, self.since = None, None
        self.deaths = 0 if time.monotonic() - self.started > STEADY else self.deaths
        self.pause = PAUSES[min(self.deaths, len(PAUSES) - 1)]
        self.start_at = time.monotonic() + self.pause
        self.deaths += 1
        return f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with status {status}"

    def signal(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            kill_session(self.process.pid)


@dataclass
class Supervisor:
    data: Path
    programs: Sequence[Program]
    say: Callable[[str], None]
    ready: Callable[[], None] = lambda: None
    # Asked on each look: why the workers must be started anew, empty when they need not.
    complaint: Callable[[], str] = lambda: ""
    children: list[Child] = field(default_factory=list)
    asked: int = 0  # how often we were asked to stop

    def run(self) -> None:
        """Start everything and stay until SIGTERM or SIGINT; returns when all have ended."""
        adopt_orphans()
        if killed := kill_leftovers(self.data, {program.role for program in self.programs}):
            self.say(f"{killed} processes that a killed panel had left were ended.")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop_asked)
        self.children.extend(Child(program) for program in self.programs)
        for child in self.children:
            child.start(self.data)
        self.ready()
        while not self.asked:
            self._look()
            time.sleep(TICK)
        self._stop()

    def workers_since(self) -> datetime | None:
        """When the running cluster of workers was started."""
        return next((child.since for child in self.children if child.program.role == "worker"), None)

    def _stop_asked(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1

    def _look(self) -> None:
        for child in self._reap():
            how = child.ended()
            self.say(f"The {child.program.name} {how}; starting again in {child.pause:.1f} s.")
        for child in self.children:
            if child.process is None and time.monotonic() >= child.start_at:
                child.start(self.data)
        if reason := self.complaint():
            self._restart_workers(reason)

    def _restart_workers(self, reason: str) -> None:
        for child in self.children:
            if child.program.role == "worker" and child.process is not None:
                self.say(f"The {child.program.name} is frozen ({reason}); it is killed and started anew.")
                child.kill()
                child.ended()
                child.deaths, child.start_at = 0, 0.0

    def _reap(self) -> list[Child]:
        """Children that have ended. Orphans that the kernel gave us (as pid 1, or as a subreaper) are buried."""
        gone: list[Child] = []
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return gone
            if found is None:
                return gone
            child = self._child_of(found.si_pid)
            if child is None:
                with contextlib.suppress(ChildProcessError):  # the watchdog's thread was quicker
                    os.waitpid(found.si_pid, 0)
            elif child.process is not None:
                child.process.wait()
                gone.append(child)

    def _child_of(self, pid: int) -> Child | None:
        return next((child for child in self.children if child.process and child.process.pid == pid), None)

    def _stop(self) -> None:
        self.say("Stopping.")
        self._stop_these([child for child in self.children if not child.program.last], asked=1)
        self._stop_these([child for child in self.children if child.program.last], asked=self.asked)

    def _stop_these(self, children: list[Child], asked: int) -> None:
        """Ask; wait up to the limit, or until we are asked more often than that; then kill."""
        for child in children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_LIMIT
        while any(child.process for child in children):
            for child in self._reap():
                child.ended()
            if time.monotonic() > deadline or self.asked > asked:
                self._kill_these([child for child in children if child.process])
            time.sleep(0.02)

    def _kill_these(self, children: list[Child]) -> None:
        for child in children:
            self.say(f"The {child.program.name} did not stop in time and is killed.")
            child.kill()
            child.ended()


def web_socket(bind: str, port: int) -> socket.socket:
    """A listening socket; raises OSError when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    return socket.create_server((bind, port), family=family, backlog=1024)
