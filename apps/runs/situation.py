"""How a subject stands at one moment, for one person: what its control page begins with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.access.levels import Level
from apps.runs.states import ALIVE

if TYPE_CHECKING:
    from apps.access.decision import Decision
    from apps.runs.models import Run
    from apps.runs.notices import Badge, Banner


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What the pages of all kinds of subjects show; each kind adds its own."""

    level: Level
    decision: Decision  # the gate's, about acting now
    active: Run | None  # the run that holds the subject
    waiting: tuple[Run, ...]
    banners: tuple[Banner, ...]
    headline: Badge

    @property
    def may_act(self) -> bool:
        return self.level >= Level.IN_HOURS

    @property
    def may_configure(self) -> bool:
        return self.level >= Level.CONFIGURE

    @property
    def is_busy(self) -> bool:
        return self.active is not None and self.active.state in ALIVE
