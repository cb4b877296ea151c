"""Which worker processes are at work: one empty file per busy worker, for the watchdog of this machine.

A queue whose oldest task waits too long is either frozen (an idle worker was killed and took the queue's lock
with it) or merely busy; only a worker that is idle meanwhile tells the two apart.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django_q.signals import post_execute_in_worker, pre_execute

from apps.runs.machine import machine_name


def watch_workers() -> None:
    """Have each worker of this process say when it works. To be called before the cluster forks them."""
    folder().mkdir(parents=True, exist_ok=True)
    for path in folder().glob("*"):  # of a cluster that was killed
        path.unlink(missing_ok=True)
    pre_execute.connect(_begin, dispatch_uid="busy")
    post_execute_in_worker.connect(_end, dispatch_uid="busy")


def workers_busy() -> int:
    """How many live worker processes execute a task at this moment; files of dead ones are removed."""
    count = 0
    for path in folder().glob("*"):
        if path.name.isdigit() and Path("/proc", path.name).exists():
            count += 1
        else:
            path.unlink(missing_ok=True)
    return count


def folder() -> Path:
    """This machine's: containers may share a data folder, and pids mean nothing between them."""
    return Path(settings.DATA_DIR) / "busy" / machine_name()


def _begin(**_: Any) -> None:
    (folder() / str(os.getpid())).touch()


def _end(**_: Any) -> None:
    (folder() / str(os.getpid())).unlink(missing_ok=True)
