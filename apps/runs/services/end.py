"""The end of many runs at once that something other than a runner has carried out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction

from apps.runs.bell import ring_viewers
from apps.runs.kinds import kind_named
from apps.runs.models import Run
from apps.runs.queue import ring
from apps.runs.services.move import SETTLE_TIMEOUT
from apps.runs.states import ENDED, MOVES, RunState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

SETTLED_TOGETHER = 10  # runs in one task of the queue


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How one run ended. `before`: the state that it is known to be in; a lost run's real end is told late."""

    run_id: int
    before: RunState
    to: RunState
    summary: str
    ended_at: datetime


def runs_end(*, ends: Sequence[RunEnd]) -> list[int]:
    """As `run_move`, each by a conditional UPDATE; those that have moved. What follows is told of all together.

    The kinds hear of it by `moved_together`, outside of any savepoint: a fault there undoes the whole.
    """
    with transaction.atomic():
        ended = [end.run_id for end in ends if _end(end)]
        kinds: dict[str, list[Run]] = defaultdict(list)
        for run in Run.objects.select_related("subject", "requested_by").filter(pk__in=ended):
            kinds[run.kind].append(run)
        for name, runs in kinds.items():
            kind_named(name).moved_together(runs)
        ring_viewers(*ended)
        for start in range(0, len(ended), SETTLED_TOGETHER):
            together = ended[start : start + SETTLED_TOGETHER]
            ring("apps.runs.tasks.settle", *together, timeout=SETTLE_TIMEOUT)
    return ended


def _end(end: RunEnd) -> bool:
    if end.to not in ENDED or end.to not in MOVES[end.before]:
        return False
    rows = Run.objects.filter(pk=end.run_id, state=end.before)
    return bool(rows.update(state=end.to, summary=end.summary[:500], ended_at=end.ended_at))
