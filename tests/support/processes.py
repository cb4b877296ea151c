"""Processes by the mark in their environment: on the panel's machine or a host, which are the same one here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from apps.runs.models import Run


def processes_marked(mark: str) -> list[psutil.Process]:
    """What carries `DEPLOYPANEL_RUN=mark` and lives."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DEPLOYPANEL_RUN") == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def processes_of(run: Run) -> list[psutil.Process]:
    run.refresh_from_db()
    return processes_marked(f"{run.pk}:{run.token}")
