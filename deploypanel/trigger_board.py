"""The start page's part about triggers and their agents, made from rows already read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count, Exists, OuterRef, Subquery
from django.utils import timezone

from apps.access.permissions import subjects_visible
from apps.agents.presence import online_count
from apps.runs.models import Run
from apps.runs.notices import Badge
from apps.runs.states import ACTIVE, UNSUCCESSFUL, RunState
from apps.triggers.models import Effect, Firing, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.contrib.auth.models import User

    from apps.access.models import Freeze

SHOWN = 60  # tiles; those that need somebody, and those at work, come first


@dataclass(frozen=True, kw_only=True)
class TriggerTile:
    """One trigger: how its last run went, whether its agents are there, and what stands in the way."""

    trigger: Trigger
    badge: Badge
    working: int  # runs that have not ended
    agents: int
    online: int
    flags: tuple[Badge, ...]

    @property
    def is_bad(self) -> bool:
        return not self.working and self.badge.tone == "bad"

    @property
    def is_cut_off(self) -> bool:
        """It sets agents to work, and none of them is there."""
        return self.trigger.enabled and self.agents > 0 and self.online == 0

    @property
    def place(self) -> tuple[bool, bool, str]:
        """Where it stands on the board."""
        return not (self.is_bad or self.is_cut_off), not self.working, self.trigger.name


@dataclass(frozen=True, kw_only=True)
class TriggerBoard:
    """All triggers that one person may see, what needs somebody first."""

    tiles: tuple[TriggerTile, ...] = ()

    @property
    def shown(self) -> tuple[TriggerTile, ...]:
        return self.tiles[:SHOWN]

    @property
    def hidden(self) -> int:
        return max(0, len(self.tiles) - SHOWN)

    @property
    def figures(self) -> list[tuple[int, str]]:
        if not self.tiles:
            return []
        return [(len(self.tiles), "triggers"), (sum(tile.is_cut_off for tile in self.tiles), "without their agents")]


def triggers_seen(user: User) -> list[Trigger]:
    """The triggers on this person's board, with the state of the last run of each and their agents."""
    newest = Effect.objects.filter(trigger=OuterRef("pk"), run__isnull=False).order_by("-id")
    held = Firing.objects.filter(trigger=OuterRef("pk"), state=Firing.State.HELD)
    rows = Trigger.objects.filter(pk__in=subjects_visible(user, "trigger").values("pk")).select_related("hours")
    rows = rows.annotate(last_state=Subquery(newest.values("run__state")[:1]), has_held=Exists(held))
    return list(rows.defer("script").prefetch_related("agents"))


def trigger_board(triggers: Iterable[Trigger], freezes: Iterable[Freeze], closed: dict[int, str]) -> TriggerBoard:
    """`closed`: why calendars are closed now, by their ids."""
    now, rows, frozen = timezone.now(), list(triggers), list(freezes)
    working = _working(rows)
    tiles = [_tile(row, working.get(row.pk, 0), frozen, closed, now) for row in rows]
    return TriggerBoard(tiles=tuple(sorted(tiles, key=lambda tile: tile.place)))


def _working(rows: list[Trigger]) -> dict[int, int]:
    """How many runs of each have not ended: asked of the few that have not, whatever there was before."""
    if not rows:
        return {}
    unfinished = Run.objects.filter(state__in=(RunState.WAITING, *ACTIVE), subject__kind="trigger")
    counted = unfinished.order_by().values_list("subject_id").annotate(total=Count("pk"))
    return {number: total for number, total in counted if number is not None}


def _tile(row: Trigger, working: int, freezes: list[Freeze], closed: dict[int, str], now: datetime) -> TriggerTile:
    agents = list(row.agents.all())
    return TriggerTile(
        trigger=row,
        badge=_badge(row, working),
        working=working,
        agents=len(agents),
        online=online_count(agents, now),
        flags=tuple(_flags(row, freezes, closed)),
    )


def _badge(row: Trigger, working: int) -> Badge:
    last = getattr(row, "last_state", None)
    if not row.enabled:
        return Badge(text="Off", hint="It refuses every firing.")
    if working:
        return Badge(text="At work", tone="info dp-busy")
    if last in UNSUCCESSFUL:
        return Badge(text=RunState(last).label, tone="bad", hint="How the last run that it led to ended.")
    return Badge(text="Ready", tone="good") if row.count else Badge(text="Never fired")


def _flags(row: Trigger, freezes: list[Freeze], closed: dict[int, str]) -> Iterable[Badge]:
    if reasons := [freeze.reason for freeze in freezes if freeze.subject_id in {None, row.pk}]:
        yield Badge(text="Frozen", tone="bad", hint=" ".join(reasons))
    if row.hours_id in closed:
        yield Badge(text="Closed", tone="idle", hint=closed[row.hours_id])
    if getattr(row, "has_held", False):
        yield Badge(text="Held", tone="warn", hint="Firings wait until the window opens.")
