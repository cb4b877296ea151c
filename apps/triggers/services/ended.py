"""What triggers do at the end of any run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.triggers.services.advance import run_ended_advance
from apps.triggers.services.ends import run_ended_fire

if TYPE_CHECKING:
    from apps.runs.models import Run


def run_ended(run: Run) -> None:
    """Fire what waits for this end, and start what waits for its turn. Called once or more, in a worker."""
    run_ended_fire(run=run)
    run_ended_advance(run=run)
