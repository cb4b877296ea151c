"""One command of a script: run once, whatever happens to the agent meanwhile.

The command runs in a session of its own under a small `sh`, the keeper, which outlives the agent: it claims the
command (a file made anew or not at all), sends the output into files and writes the exit status when it ends. The
keeper holds a lock from before it is started until it ends. So an agent that comes back knows for sure:

    lock taken                    it still runs: go on reading
    lock free, exit written       it has ended
    lock free, claim, no exit     it was killed together with its keeper: it may have run in part
    lock free, no claim           it never began (same boot of the machine; after another boot: unknown)
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import os
import subprocess
import time
from typing import TYPE_CHECKING

from deploypanel_agent.disk import sync_folder, write_synced
from deploypanel_agent.processes import boot_id, signal_session

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping
    from pathlib import Path

KEEPER = """
trap : HUP INT TERM
set -C
true >"$1/claim" || exit 0
set +C
echo "$$" >"$1/pid"
"$2" -c "$3" </dev/null >>"$1/out" 2>>"$1/err"
status=$?
echo "$status" >"$1/exit"
"""


class Found(enum.Enum):
    """What there is of a command when one looks."""

    NEVER = "never begun"
    WORKING = "working"
    ENDED = "ended"
    LOST = "may have run in part"


class Command:
    """A command and its folder. Not for several threads at once."""

    def __init__(self, folder: Path, shell: str, text: str) -> None:
        self.folder = folder
        self.shell = shell
        self.text = text
        self._lock: int | None = None  # held by this process: nobody else runs it
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def status(self) -> int | None:
        """Its exit status; None while it has not ended. As shells tell it: 128 and more when a signal ended it."""
        try:
            told = (self.folder / "exit").read_text(encoding="ascii")
        except (OSError, ValueError):
            return None
        return int(told) if told.endswith("\n") and told.strip().isdecimal() else None

    def look(self) -> Found:
        """How far it is. When nobody runs it this process holds its lock afterwards."""
        if self._keeper is not None:
            self._keeper.poll()  # buried when it is dead
        if not self._take_lock():
            return Found.WORKING
        if self.status is not None:
            return Found.ENDED
        begun = _read(self.folder / "begun")
        if (self.folder / "claim").exists() or (begun is not None and begun != boot_id()):
            return Found.LOST
        return Found.NEVER

    def begun_at(self) -> float | None:
        """Seconds since 1970 when it was about to begin; None: it was not yet."""
        try:
            return (self.folder / "begun").stat().st_mtime
        except OSError:
            return None

    def start(self, *, env: Mapping[str, str], cwd: str | None) -> None:
        """Begin it; only after `look` found it NEVER begun. Raises OSError when no process can be made."""
        assert self._lock is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        write_synced(self.folder / "begun", boot_id().encode())
        sync_folder(self.folder.parent)
        argv = ["/bin/sh", "-c", KEEPER, "keeper", str(self.folder), self.shell, self.text]
        self._keeper = subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=self._lock,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._free_lock()

    def signal(self, number: signal.Signals) -> bool:
        """To every process of its session; False when there is none left to send it to."""
        with contextlib.suppress(OSError, ValueError):
            session = int((self.folder / "pid").read_text(encoding="ascii"))
            return signal_session(session, number)
        return False

    def close(self) -> None:
        self._free_lock()
        if self._keeper is not None and self._keeper.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._keeper.wait(0.1)

    def _take_lock(self) -> bool:
        if self._lock is not None:
            return True
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self._lock = handle
        return True

    def _free_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def wait_begun(command: Command, limit: float = 5.0) -> None:
    """Until a command that was just started can be sent signals: its keeper has told its number."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and not (_read(command.folder / "pid") or "").strip():
        if command.look() is not Found.WORKING:
            return
        time.sleep(0.005)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
