"""Processes of a panel that was killed: they would go on executing tasks beside the new one's.

Everything that a supervisor starts carries the data folder and its role in its environment. Runners carry
them too, under a role of their own, and are left alone: their runs go on.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from apps.runs.machine import kill_until_none

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MARKER = "DEPLOYPANEL_PANEL"  # the data folder
ROLE = "DEPLOYPANEL_ROLE"


def processes_of(data: Path, roles: Collection[str]) -> list[psutil.Process]:
    """Those on this machine that belong to the panel of that data folder, in one of these roles."""
    found = []
    for process in psutil.process_iter():
        variables = _environment(process.pid)
        if variables.get(MARKER) == str(data) and variables.get(ROLE) in roles and process.pid != os.getpid():
            found.append(process)
    return found


def kill_leftovers(data: Path, roles: Collection[str]) -> int:
    """SIGKILL them, again until none is left; how many there were."""
    return kill_until_none(lambda: processes_of(data, roles), rounds=1000, patience=1)


def kill_session(leader: int) -> None:
    """SIGKILL every process of the session that `leader` began: all its groups, whoever their parent is now."""
    for pid in list(_members(leader)):
        _kill(pid)


def _members(leader: int) -> Iterator[int]:
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == leader:
                yield pid
        except OSError:
            continue


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return


def _environment(pid: int) -> dict[str, str]:
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (part.partition(b"=") for part in raw.split(b"\0"))
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, _, value in pairs if name}
