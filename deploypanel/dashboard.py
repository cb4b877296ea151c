"""The start page: what runs where, and what is happening now. A fixed number of queries, however many rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import OuterRef, Subquery
from django.http import JsonResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_GET

from apps.access.hours import Hours, is_open
from apps.access.models import Freeze, SshKey
from apps.access.selectors import freezes_visible
from apps.environments import control
from apps.environments.models import Deployment, Environment, Host
from apps.environments.selectors import environments_visible
from apps.repos.models import Repository
from apps.runs.notices import Badge, is_unprotected
from apps.runs.selectors import runs_unfinished, runs_visible
from apps.runs.states import UNSUCCESSFUL, RunState
from apps.sesam.selectors import nodes_visible
from deploypanel.node_board import NodeBoard, node_board, node_tile
from deploypanel.trigger_board import TriggerBoard, trigger_board, triggers_seen

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.http import HttpRequest, HttpResponse

    from apps.runs.models import Run
    from apps.sesam.models import Node
    from apps.triggers.models import Trigger

RECENT = 8
HELD = {"Frozen", "Closed", "Auto-deploy paused"}


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One environment: what it runs, how that went, and everything that stands in the way."""

    environment: Environment
    subject: str
    last: Deployment | None
    run: Run | None
    flags: tuple[Badge, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    repository: Repository
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True)
class Board:
    """The start page for one person."""

    rows: tuple[Row, ...]
    nodes: NodeBoard
    triggers: TriggerBoard
    recent: tuple[Run, ...]
    freezes: tuple[Freeze, ...]  # the global ones: they stand above the board

    @property
    def tiles(self) -> list[Tile]:
        return [tile for row in self.rows for tile in row.tiles]

    @property
    def figures(self) -> list[tuple[int, str]]:
        found = self._environment_figures() if self.rows else []
        found += self._node_figures() if self.nodes.tiles else []
        return found + self.triggers.figures

    @property
    def is_empty(self) -> bool:
        return not (self.rows or self.nodes.tiles or self.triggers.tiles)

    def _node_figures(self) -> list[tuple[int, str]]:
        busy = [] if self.rows else [(self.nodes.busy, "at work now")]
        return [(len(self.nodes.tiles), "Sesam nodes"), *busy, (self.nodes.troubled, "nodes that need somebody")]

    def _environment_figures(self) -> list[tuple[int, str]]:
        tiles = self.tiles
        busy = sum(tile.run is not None for tile in tiles) + self.nodes.busy
        troubled = sum(tile.last is not None and tile.last.state in UNSUCCESSFUL for tile in tiles)
        held = sum(any(flag.text in HELD for flag in tile.flags) for tile in tiles)
        return [
            (len(tiles), "environments"),
            (busy, "at work now"),
            (troubled, "last run failed"),
            (sum(any(flag.text == "Hosts differ" for flag in tile.flags) for tile in tiles), "with differing hosts"),
            (held, "frozen, closed or paused"),
        ]


def board_read(user: User) -> Board:
    """Everything on the start page that this person may see."""
    now = timezone.now()
    environments, nodes = _environments(user), list(nodes_visible(user).select_related("repository", "hours"))
    deployments = Deployment.objects.in_bulk(
        {number for row in environments for number in (row.last_id, row.live_id) if number}  # type: ignore[attr-defined]
    )
    freezes = list(freezes_visible(user, now).select_related("subject"))
    runs = _runs_active([*environments, *nodes])
    triggers = triggers_seen(user)
    closed = _hours_closed([*environments, *nodes, *triggers], now)

    def tile(row: Environment) -> Tile:
        live = deployments.get(row.live_id)  # type: ignore[attr-defined]
        return Tile(
            environment=row,
            subject=live.commit_subject if live else "",
            last=deployments.get(row.last_id),  # type: ignore[attr-defined]
            run=runs.get(row.pk),
            flags=tuple(_flags(row, freezes, closed, now)),
        )

    rows = tuple(
        Row(repository=repository, tiles=tuple(tile(row) for row in group))
        for repository, group in groupby(environments, key=lambda row: row.repository)
    )
    recent = runs_visible(user).order_by("-id")[:RECENT]
    tiles = [node_tile(row, run=runs.get(row.pk), flags=_held(row, freezes, closed)) for row in nodes]
    everything = tuple(freeze for freeze in freezes if freeze.subject_id is None)
    return Board(
        rows=rows,
        nodes=node_board(tiles),
        triggers=trigger_board(triggers, freezes, closed),
        recent=tuple(recent),
        freezes=everything,
    )


def _environments(user: User) -> list[Environment]:
    own = Deployment.objects.filter(environment=OuterRef("pk")).order_by("-id").values("pk")
    live = own.filter(commit=OuterRef("deployed_commit"), state=RunState.SUCCEEDED)
    return list(
        environments_visible(user)
        .select_related("repository", "hours")
        .annotate(last_id=Subquery(own[:1]), live_id=Subquery(live[:1]))
        .order_by("repository__name", "order", "name")
    )


def _runs_active(subjects: Iterable[Environment | Node]) -> dict[int, Run]:
    """The run that holds each subject, with how many of its steps are behind it."""
    runs = runs_unfinished(row.pk for row in subjects).exclude(state=RunState.WAITING)
    return {run.subject_id: run for run in runs if run.subject_id is not None}


def _hours_closed(subjects: Iterable[Environment | Node | Trigger], now: datetime) -> dict[int, str]:
    """Why each calendar is closed now, by its id; an open one is left out. Each is asked once."""
    calendars = {row.hours.pk: row.hours for row in subjects if row.hours is not None}
    closed = {}
    for number, calendar in calendars.items():
        try:
            allowed, reason = is_open(Hours.of(calendar), now)
        except (ValueError, KeyError, OSError) as error:
            allowed, reason = False, f"The calendar cannot be read: {error}"
        if not allowed:
            closed[number] = reason
    return closed


def _held(row: Environment | Node, freezes: Iterable[Freeze], closed: dict[int, str]) -> Iterable[Badge]:
    reasons = [freeze.reason for freeze in freezes if freeze.subject_id in {None, row.pk, row.repository_id}]
    if reasons:
        yield Badge(text="Frozen", tone="bad", hint=" ".join(reasons))
    if row.hours_id in closed:
        yield Badge(text="Closed", tone="idle", hint=closed[row.hours_id])


def _flags(row: Environment, freezes: Iterable[Freeze], closed: dict[int, str], now: datetime) -> Iterable[Badge]:
    yield from _held(row, freezes, closed)
    if row.auto_deploy and row.auto_paused_at:
        yield Badge(text="Auto-deploy paused", tone="warn", hint=row.auto_paused_reason)
    if control.differs(row, now):
        yield Badge(text="Hosts differ", tone="warn", hint="Not every host runs the same commit.")


@dataclass(frozen=True, kw_only=True)
class FirstStep:
    """One thing to do before the first deployment."""

    done: bool
    title: str
    text: str
    model: str


def first_steps() -> list[FirstStep]:
    """What a new installation still needs, in order."""
    return [
        FirstStep(
            done=SshKey.objects.exists(),
            title="Add an SSH key",
            text="The key with which the panel logs in to your hosts.",
            model="access_sshkey",
        ),
        FirstStep(
            done=Host.objects.exists(),
            title="Add a host",
            text="Where the code goes. Scan its key and confirm the fingerprint; then put it into a cluster.",
            model="environments_host",
        ),
        FirstStep(
            done=Repository.objects.exists(),
            title="Add a repository",
            text="Where the code comes from.",
            model="repos_repository",
        ),
        FirstStep(
            done=False,
            title="Add an environment",
            text="Which branch goes to which cluster, into which folder.",
            model="environments_environment",
        ),
    ]


REGIONS = {
    "start-figures": "panel/_figures.html",
    "start-board": "panel/_board.html",
    "start-nodes": "panel/_nodes.html",
    "start-triggers": "panel/_triggers.html",
    "start-recent": "panel/_recent.html",
}


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The admin index's context (UNFOLD's DASHBOARD_CALLBACK)."""
    board = board_read(request.user)  # type: ignore[arg-type]  # only people of the panel get here
    superuser = bool(getattr(request.user, "is_superuser", False))
    return {
        **context,
        "title": "Overview",
        "board": board,
        "first_steps": first_steps() if board.is_empty and superuser else [],
        "unprotected": is_unprotected(request.get_host(), request.is_secure()),
    }


@require_GET
def _live(request: HttpRequest) -> HttpResponse:
    context = {"board": board_read(request.user)}  # type: ignore[arg-type]
    return JsonResponse({region: render_to_string(name, context, request=request) for region, name in REGIONS.items()})


live = admin.site.admin_view(_live)
