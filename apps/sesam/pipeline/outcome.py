"""How a run leaves its node: the state that it is in, what the guard asks, what was applied last."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.utils import timezone

from apps.access.errors import PanelError
from apps.runs.errors import RunEnded, RunFailed
from apps.runs.patience import patiently
from apps.sesam.errors import AnswerLost, NodeError, NodeRefused, SourceError
from apps.sesam.journal import PATIENCE
from apps.sesam.models import Node, SyncAction
from apps.sesam.pipeline.compare import QuestionsAsked
from apps.sesam.pipeline.gitside import NamesMissing
from apps.sesam.pipeline.undone import Unapplied
from apps.sesam.selectors import branch_of
from apps.sesam.services.check_look import wish_digest
from apps.sesam.services.owed import LATE, debts_settled
from apps.sesam.services.state import node_state_set
from apps.sesam.states import NodeState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apps.sesam.models import Sync


@contextmanager
def failure_kept(row: Sync, node: Node) -> Iterator[None]:
    """Whatever ends the run is told on the node, too; what a node says comes with its remedy."""
    try:
        yield
    except (RunEnded, PanelError) as error:
        _kept(row, node, error)
        if isinstance(error, PanelError) and (remedy := getattr(error, "remedy", "")):
            raise RunFailed(str(error), remedy) from error
        raise


def success_kept(row: Sync, node: Node, commit: str) -> None:
    """The node has `commit`. What an earlier run owed to it is of no account any more."""
    patiently(lambda: _success_kept(row, node, commit), seconds=PATIENCE)


def _success_kept(row: Sync, node: Node, commit: str) -> None:
    debts_settled(node=node, by=row)
    now = timezone.now()
    kept = {"applied_commit": commit, "applied_at": now, "applied_settings": wish_digest(node)}
    kept |= {"questions": [], "compared": "", "check_after": None} | ({} if node.is_ci else {"answered_at": now})
    Node.objects.filter(pk=node.pk).update(**kept)
    node.applied_commit = commit
    if row.action == SyncAction.RESTORE:
        node_state_set(node=node, state=NodeState.UNKNOWN, detail=f"Run #{row.run_number} put back an earlier state.")
    elif follows(row, node):
        node_state_set(node=node, state=NodeState.IN_SYNC)
    else:
        detail = f"Run #{row.run_number} applied {row.ref}, and the node follows {branch_of(node)}."
        node_state_set(node=node, state=NodeState.UNKNOWN, detail=detail)


def follows(row: Sync, node: Node) -> bool:
    """Whether the run was about what the node follows, so that its end says how the node stands."""
    is_newest = row.ref == branch_of(node) or bool(row.commit and row.commit == node.seen_commit)
    return row.action != SyncAction.PLAN and is_newest


def _kept(row: Sync, node: Node, error: Exception) -> None:
    cause = error.cause if isinstance(error, Unapplied) else error
    if isinstance(cause, QuestionsAsked):
        if row.action != SyncAction.SYNC or not follows(row, node):
            return  # a restore's questions are not those of the next sync: they are kept on the row
        Node.objects.filter(pk=node.pk).update(questions=cause.asked)
    if isinstance(cause, AnswerLost):
        # It may be carried out after all, also on a node that nobody looks at by itself.
        Node.objects.filter(pk=node.pk).update(check_after=timezone.now() + LATE, compared="")
    if (state := _state(cause)) is not None and (follows(row, node) or state is NodeState.UNREACHABLE):
        node_state_set(node=node, state=state, detail=str(cause))


def _state(error: BaseException) -> NodeState | None:
    """What the failure says about the node; None: nothing."""
    if isinstance(error, QuestionsAsked):
        return NodeState.ASKS
    if isinstance(error, SourceError | NamesMissing | NodeRefused):
        return NodeState.BROKEN
    return NodeState.UNREACHABLE if isinstance(error, NodeError) else None
