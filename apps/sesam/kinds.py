"""The kinds of work that nodes bring: sync, restore, plan, verification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import reverse

from apps.access import gate
from apps.runs.kinds import RunKind, register
from apps.runs.knock import actor_of
from apps.runs.services import subject_held
from apps.runs.states import ENDED
from apps.sesam.journal import journal_open
from apps.sesam.models import Node, Sync, SyncAction
from apps.sesam.pipeline import stages
from apps.sesam.pipeline.look import plan, verify
from apps.sesam.pipeline.restore import restore
from apps.sesam.pipeline.sync import sync
from apps.sesam.services.automatic import sync_wanted
from apps.sesam.services.owed import node_owes, owed_pay
from apps.sesam.services.rules import run_admitted
from apps.sesam.soundness import same_place

if TYPE_CHECKING:
    from apps.access.decision import Decision
    from apps.runs.models import Run
    from apps.runs.work import Work

LEFT = "Run #{} ended in the middle of its writes; what it left is being put right."


class NodeKind(RunKind):
    """What they share: a Sync row beside the run, and its page with everything that was found."""

    def findings(self, run: Run) -> tuple[str, str]:
        row = Sync.objects.filter(run=run).only("pk").first()
        return ("Entity by entity", reverse("admin:sesam_sync_plan", args=[row.pk])) if row is not None else ("", "")

    def moved(self, run: Run) -> None:
        if run.state in ENDED:
            # A push that saw the run at work has noted its wish when this goes on, so that what follows finds it.
            subject_held(Node, run.subject_id)
        rows = Sync.objects.filter(run=run)
        rows.update(state=run.state, started_at=run.started_at, ended_at=run.ended_at)


class WritingKind(NodeKind):
    """Those that write to the node."""

    stages: tuple[str, ...] = stages.SYNCING

    def admit(self, run: Run) -> Decision:
        return run_admitted(run)

    def moved(self, run: Run) -> None:
        super().moved(run)
        if run.state not in ENDED:
            return
        row = Sync.objects.select_related("node").filter(run=run).first()
        if row is None or row.node is None or not journal_open(row):
            return
        if row.node.owed_id != row.pk:
            # With the end of the run and not after it: the next run must find what it has to put right.
            node_owes(sync=row, detail=LEFT.format(run.pk))

    def clean_up(self, run: Run) -> None:
        _pay(run)

    def settle(self, run: Run) -> None:
        _pay(run)
        _follow(run)


class SyncKind(WritingKind):
    name, label = str(SyncAction.SYNC), "Sync"

    def execute(self, work: Work) -> None:
        sync(work, _sync(work.run))


class RestoreKind(WritingKind):
    name, label = str(SyncAction.RESTORE), "Restore"
    stages = stages.RESTORING

    def execute(self, work: Work) -> None:
        restore(work, _sync(work.run))


class LookingKind(NodeKind):
    """Those that change nothing: the permission alone counts, as for a stop."""

    def admit(self, run: Run) -> Decision:
        assert run.subject is not None
        return gate.decide(actor=actor_of(run), act=gate.Act.STOP, subject=run.subject)


class PlanKind(LookingKind):
    name, label = str(SyncAction.PLAN), "Plan"
    stages = stages.PLANNING

    def execute(self, work: Work) -> None:
        plan(work, _sync(work.run))


class VerifyKind(LookingKind):
    name, label = str(SyncAction.VERIFY), "Verification"
    stages = stages.VERIFYING

    def findings(self, run: Run) -> tuple[str, str]:
        return "Everything it found", super().findings(run)[1]

    def execute(self, work: Work) -> None:
        verify(work, _sync(work.run))

    def settle(self, run: Run) -> None:
        _follow(run)


def _pay(run: Run) -> None:
    row = Sync.objects.select_related("node").filter(run=run).first()
    if row is None or row.node is None:
        return
    is_there = not row.node_url or same_place(row.node_url, row.node.url)
    if row.node.owed_id is None and journal_open(row) and is_there:
        node_owes(sync=row, detail=LEFT.format(run.pk))  # whatever kept the run's end from noting it
    owed_pay(node=row.node)


def _follow(run: Run) -> None:
    row = Sync.objects.select_related("node").filter(run=run).first()
    if row is not None and row.node is not None:
        sync_wanted(node=row.node, attempted="" if row.action == SyncAction.RESTORE else row.commit)


def _sync(run: Run) -> Sync:
    rows = Sync.objects.select_related(
        "node__repository__ssh_key", "node__hours", "node__secret_store", "node__owed", "restored__content", "run"
    )
    return rows.get(run=run)


def register_kinds() -> None:
    for kind in (SyncKind(), RestoreKind(), PlanKind(), VerifyKind()):
        register(kind)
