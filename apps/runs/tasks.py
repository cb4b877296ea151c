"""The worker's door. Each may be delivered twice, or late: the services claim the row and look at the count."""

from __future__ import annotations

from apps.runs.services import run_clean_up, run_settle, run_start


def start(run_id: int) -> None:
    run_start(run_id=run_id)


def settle(*run_ids: int) -> None:
    for run_id in run_ids:
        run_settle(run_id=run_id)


def clean_up(run_id: int) -> None:
    run_clean_up(run_id=run_id)
