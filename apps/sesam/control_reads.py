"""What a node's page reads, each thing once. It decides nothing: control.py turns the rows into what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.paginator import Page, Paginator
from django.utils import timezone

from apps.access import gate
from apps.access.levels import Level
from apps.access.selectors import freezes_on
from apps.runs.bars import Bar, duration_bars
from apps.runs.selectors import runs_unfinished
from apps.runs.situation import Situation
from apps.runs.states import ENDED, RunState
from apps.sesam import control
from apps.sesam.models import Sync, SyncAction
from apps.sesam.selectors import fed_by
from apps.sesam.services.rules import node_rule

if TYPE_CHECKING:
    from datetime import datetime

    from apps.access.actor import Actor
    from apps.repos.models import Repository
    from apps.sesam.models import ExtraNode, Node, Snapshot

HISTORY_PAGE = 15
PLOTTED = 30
COMPARABLE = 40  # past runs that the form for a comparison offers
SNAPSHOTS = 50
LONG = ("rules", "refused", "questions", "extras", "journal")  # of a sync's row, and not for lists
WRITES = (SyncAction.SYNC, SyncAction.RESTORE)


@dataclass(frozen=True, kw_only=True)
class NodeSituation(Situation):
    """A node as it stands at one moment, for one person."""

    node: Node
    master: ExtraNode | None  # what it is, where a master feeds it
    repository: Repository | None
    live: Sync | None  # the run that brought the last good commit
    plan: Sync | None  # the newest plan or verification
    plan_old: str  # why the plan says nothing about now any more
    questions: tuple[control.Question, ...]
    next_check: str
    check_at: datetime | None

    @property
    def branch(self) -> str:
        return self.master.master.branch if self.master is not None else self.node.branch

    @property
    def verb(self) -> str:
        return "Verify" if self.node.is_ci else "Apply"

    @property
    def counts(self) -> control.Counts | None:
        """What the newest plan found, once it has ended well."""
        return control.Counts.of(self.plan) if self.plan is not None and self.plan.counts else None


def situation_read(*, node: Node, actor: Actor, level: Level) -> NodeSituation:
    """Everything about `node` that `actor` needs before acting on it."""
    now = timezone.now()
    decision = gate.decide(actor=actor, act=gate.Act.ACT, subject=node, at=now, extra=[node_rule(node)])
    runs = list(runs_unfinished([node.pk]))
    active = next((run for run in runs if run.state != RunState.WAITING), None)
    master, plan, written = fed_by(node), _newest(node, _look(node)), _newest(node, *WRITES)
    plan_old = control.plan_is_old(plan, node, written) if plan is not None else ""
    may_act, may_configure = level >= Level.IN_HOURS, level >= Level.CONFIGURE
    return NodeSituation(
        node=node,
        level=level,
        decision=decision,
        active=active,
        waiting=tuple(run for run in runs if run.state == RunState.WAITING),
        master=master,
        repository=master.master.repository if master is not None else node.repository,
        live=_live(node),
        plan=plan,
        plan_old=plan_old,
        questions=control.questions(node.questions or _asked(plan, plan_old)),
        next_check=control.next_check(node, now),
        check_at=control.check_at(node, now),
        headline=control.headline(node, active.kind if active is not None else ""),
        banners=tuple(
            control.banners(
                node,
                freezes=list(freezes_on(node, now)),
                decision=decision,
                owed=node.owed,
                troubled=_troubled(plan, written),
                master=master,
                may_act=may_act,
                may_configure=may_configure,
            )
        ),
    )


def _look(node: Node) -> SyncAction:
    return SyncAction.VERIFY if node.is_ci else SyncAction.PLAN


def _asked(plan: Sync | None, plan_old: str) -> list[Any]:
    """What the newest plan asks, while it tells about now."""
    if plan is None or plan_old or plan.state not in ENDED:
        return []
    return [question for question in plan.questions if not question.get("confirmed")]


def _newest(node: Node, *actions: SyncAction) -> Sync | None:
    return node.syncs.filter(action__in=actions).select_related("run").order_by("-id").first()


def _live(node: Node) -> Sync | None:
    """Who brought the last good commit."""
    if not node.applied_commit:
        return None
    ways = (SyncAction.VERIFY,) if node.is_ci else WRITES
    brought = node.syncs.filter(state=RunState.SUCCEEDED, commit=node.applied_commit, action__in=ways)
    return brought.order_by("-id").first()


def _troubled(*rows: Sync | None) -> Sync | None:
    """The newest run that has ended, if what it took from Git could not be applied."""
    ended = [row for row in rows if row is not None and row.state in ENDED]
    newest = max(ended, key=lambda row: row.pk, default=None)
    return newest if newest is not None and control.is_troubled(newest) else None


@dataclass(frozen=True, kw_only=True)
class HistoryLine:
    """A run on the node, and what it changed or would have."""

    row: Sync
    counts: control.Counts | None

    @property
    def has_plan(self) -> bool:
        """Whether its plan page has more to tell than this line."""
        return bool(self.row.wanted_id or self.row.problems or self.row.missing)


def history_page(node: Node, number: str) -> Page[Any]:
    """One page of what was done to the node, newest first; a page that does not exist is the nearest that does."""
    rows = node.syncs.select_related("run", "restored").defer(*LONG).order_by("-id")
    page: Page[Any] = Paginator(rows, HISTORY_PAGE).get_page(number)
    page.object_list = [HistoryLine(row=row, counts=_counts(row)) for row in page.object_list]
    return page


def _counts(row: Sync) -> control.Counts | None:
    return control.Counts.of(row) if row.counts and row.action != SyncAction.VERIFY else None


def durations_recent(node: Node) -> list[Bar]:
    """The last syncs that had a start and an end, as bars. Plans are left out."""
    ways = (SyncAction.VERIFY,) if node.is_ci else WRITES
    rows = node.syncs.filter(action__in=ways, started_at__isnull=False, ended_at__isnull=False)
    return duration_bars(rows.order_by("-id")[:PLOTTED])


def syncs_comparable(node: Node) -> list[Sync]:
    """Past runs that know what was wanted, newest first: any two of them can be compared."""
    return list(node.syncs.exclude(wanted=None).defer(*LONG, "problems", "missing").order_by("-id")[:COMPARABLE])


@dataclass(frozen=True, kw_only=True)
class WayBack:
    """A snapshot, and what was done to the node since."""

    snapshot: Snapshot
    since: int  # syncs that changed the node
    by: str  # which sync it was taken before

    @property
    def title(self) -> str:
        return control.restored_words(self.snapshot.taken_at, self.snapshot.commit)


def ways_back(node: Node) -> list[WayBack]:
    """What can be put back, newest first."""
    changed = node.syncs.filter(action__in=WRITES, no_change=False, state=RunState.SUCCEEDED)
    ended = list(changed.values_list("pk", flat=True))
    unread = ("content", *(f"sync__{name}" for name in (*LONG, "problems", "missing")))
    rows = node.snapshots.select_related("sync").defer(*unread).order_by("-id")[:SNAPSHOTS]
    return [
        WayBack(
            snapshot=row,
            since=sum(pk >= (row.sync_id or 0) for pk in ended),
            by=f"{row.sync.get_action_display().lower()} #{row.sync.run_number}" if row.sync is not None else "",
        )
        for row in rows
    ]
