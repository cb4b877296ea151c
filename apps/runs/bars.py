"""The small plot beside a history: how long each piece of work took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from apps.runs.states import RunState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

PLOT_HEIGHT = 48.0
PLOT_STEP = 10.0


class Timed(Protocol):
    """A row that keeps what its run did: a deployment, a sync."""

    state: str
    commit: str
    ref: str
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One piece of work in the plot of durations; lengths in the plot's own units."""

    x: float
    y: float
    height: float
    tone: str
    label: str


def duration_bars(rows: Iterable[Timed]) -> list[Bar]:
    """The plot of how long they took, oldest first, from rows that are newest first.

    Rows without start or end are left out.
    """
    timed = [(row, (row.ended_at - row.started_at).total_seconds()) for row in rows if row.started_at and row.ended_at]
    longest = max((seconds for _, seconds in timed), default=0.0) or 1.0
    return [_bar(row, seconds, longest, position) for position, (row, seconds) in enumerate(reversed(timed))]


def _bar(row: Timed, seconds: float, longest: float, position: int) -> Bar:
    height = max(2.0, PLOT_HEIGHT * seconds / longest)
    return Bar(
        x=position * PLOT_STEP,
        y=round(PLOT_HEIGHT - height, 1),
        height=round(height, 1),
        tone="good" if row.state == RunState.SUCCEEDED else "bad",
        label=f"{row.commit[:8] or row.ref}: {seconds:.1f} s, {RunState(row.state).label.lower()}",
    )
