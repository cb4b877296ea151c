"""This machine and the processes on it: whose pid is whose, and what a run left behind.

A pid means something only together with the machine, its boot and the process's start time.
"""

from __future__ import annotations

import os
import socket
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

EXEC_PAUSE = 0.02  # seconds: more than an execve takes
MARKER = "DEPLOYPANEL_RUN"  # in the environment of every process that works for a run: `ID:TOKEN`


@lru_cache(maxsize=1)
def machine_name() -> str:
    return socket.gethostname()[:120]


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Differs after every boot; empty where the kernel does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def own_start_time() -> float:
    """When this process started, in seconds since the machine's boot."""
    return _start_time(os.getpid()) or 0.0


def is_alive(pid: int, started: float | None) -> bool:
    """Whether the process of that pid is there, is the one that started then (since the boot), and is no zombie."""
    found = _start_time(pid)
    if found is None or (started is not None and abs(found - started) >= 1):
        return False
    try:
        return not _is_zombie(psutil.Process(pid))
    except psutil.Error:
        return False


def _start_time(pid: int) -> float | None:
    """Seconds from the boot to the process's start; None when there is no such process.

    Read from the kernel and not as a time of day: setting the clock must not make a runner look like another.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    ticks = int(stat.rpartition(")")[2].split()[19])  # after the name, which may hold anything
    return ticks / os.sysconf("SC_CLK_TCK")


def leftovers(marker: str, session: int | None = None, since: float | None = None) -> list[psutil.Process]:
    """Processes of a run whose runner is gone: by the marker in their environment, or by the runner's session.

    The session finds those that dropped their environment (`sudo`, `env -i`). Its number is the dead
    runner's pid; a live leader with another start time means that the number was given out again.
    """
    if session is not None and since is not None and _session_reused(session, since):
        session = None
    needle = f"{MARKER}={marker}".encode()
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        ours = _carries(process.pid, needle) or (session is not None and _session_of(process.pid) == session)
        if ours and not _is_zombie(process):
            found.append(process)
    return found


def kill_leftovers(marker: str, session: int | None = None, since: float | None = None) -> int:
    """SIGKILL all of them; how many there were."""
    return kill_until_none(lambda: leftovers(marker, session, since), rounds=7, patience=0.5)


def kill_until_none(find: Callable[[], list[psutil.Process]], *, rounds: int, patience: float) -> int:
    """SIGKILL what `find` finds, again until none is left (they may fork meanwhile); how many there were.

    None left means two looks without any: a process that is becoming another program has no environment just then.
    `rounds`: looks at most; `patience`: seconds to wait for those that were killed.
    """
    killed: set[int] = set()
    looks_in_vain = 0
    for _ in range(rounds):
        processes = find()
        looks_in_vain = 0 if processes else looks_in_vain + 1
        if looks_in_vain == 2:
            break
        for process in processes:
            _kill(process)
            killed.add(process.pid)
        if processes:
            psutil.wait_procs(processes, timeout=patience)
        else:
            time.sleep(EXEC_PAUSE)
    return len(killed)


def kill_descendants() -> int:
    """SIGKILL everything below this process, again until none is left, and bury it; how many there were.

    For a process that is about to end: it takes the exit statuses away from whoever waits for them.
    """
    killed: set[int] = set()
    for _ in range(5):
        processes = [child for child in psutil.Process().children(recursive=True) if not _is_zombie(child)]
        if not processes:
            break
        for process in processes:
            _kill(process)
            killed.add(process.pid)
        psutil.wait_procs(processes, timeout=0.5)
    while _bury():
        pass
    return len(killed)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that daemons of a script are found too (Linux)."""
    import ctypes

    set_child_subreaper = 36
    try:
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)
    except (OSError, AttributeError):
        return


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.Error:
        return


def _bury() -> bool:
    """Collect one dead child, if there is any."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.Error:
        return True


def _carries(pid: int, needle: bytes) -> bool:
    try:
        return needle in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _session_reused(session: int, since: float) -> bool:
    found = _start_time(session)
    return found is not None and abs(found - since) >= 1
