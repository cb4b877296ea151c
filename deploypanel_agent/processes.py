"""This machine's processes: sessions and the signals to them, and which boot this is."""

from __future__ import annotations

import contextlib
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal

SESSION_FIELD = 3  # of /proc/PID/stat, counted after the name


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Differs after every boot of the machine; empty where the kernel does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def signal_session(session: int, number: signal.Signals) -> bool:
    """Send it to every process of the session, whatever group it is in; False when there is none."""
    members = _members(session)
    if members is None:  # no /proc: the group is what can be had
        with contextlib.suppress(OSError):
            os.killpg(session, number)
            return True
        return False
    for pid in members:
        with contextlib.suppress(OSError):
            os.kill(pid, number)
    return bool(members)


def _members(session: int) -> list[int] | None:
    if not Path("/proc/self/stat").exists():
        return None
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and _session_of(entry) == session:
            found.append(int(entry.name))
    return found


def _session_of(entry: Path) -> int | None:
    try:
        stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # after the name, which may hold anything
    return None if fields[0] in ("Z", "X") else int(fields[SESSION_FIELD])
