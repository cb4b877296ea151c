"""Where a run keeps its files while it works."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings


def run_folder(run_id: int) -> Path:
    return Path(settings.WORK_DIR) / f"run-{run_id}"
