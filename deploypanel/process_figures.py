"""What the panel's processes on this machine use: memory, CPU time, open files."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil
from django.conf import settings

from deploypanel.leftovers import ROLE, processes_of

ROLES = ("web", "worker", "clock", "runner")
MOST = 64  # processes that are told of


@dataclass(frozen=True, kw_only=True)
class ProcessFigures:
    role: str
    pid: int
    resident_memory_bytes: int
    cpu_seconds: float
    open_fds: int
    start_time_seconds: float


def process_figures() -> list[ProcessFigures]:
    """This process and the panel's others on this machine."""
    others = processes_of(settings.DATA_DIR, ROLES)[: MOST - 1]
    figures = [_figures(process) for process in [psutil.Process(), *others]]
    return [one for one in figures if one is not None]


def _figures(process: psutil.Process) -> ProcessFigures | None:
    """None when it has ended meanwhile, or belongs to another user."""
    try:
        role = settings.ROLE if process.pid == os.getpid() else process.environ()[ROLE]
        with process.oneshot():
            cpu = process.cpu_times()
            return ProcessFigures(
                role=role,
                pid=process.pid,
                resident_memory_bytes=process.memory_info().rss,
                cpu_seconds=cpu.user + cpu.system,
                open_fds=process.num_fds(),
                start_time_seconds=process.create_time(),
            )
    except (psutil.Error, KeyError):
        return None
