"""What putting a snapshot back would change, as far as the panel knows what the node has now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.access.errors import PanelError
from apps.runs.states import RunState
from apps.sesam import control
from apps.sesam.guard import address_asked, questions
from apps.sesam.models import Sync, SyncAction
from apps.sesam.plan import WRITTEN, plan_made
from apps.sesam.rules import Rules
from apps.sesam.storage import configuration_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from apps.sesam.configuration import Configuration
    from apps.sesam.guard import Question
    from apps.sesam.models import Node, Snapshot
    from apps.sesam.plan import Change, VariableChange

SHOWN = 100


@dataclass(frozen=True, kw_only=True)
class Since:
    """What has changed since a snapshot was taken, seen the way back: *new* is what comes back."""

    sync: Sync  # whose end the snapshot is compared with
    counts: dict[str, int]
    changes: Sequence[Change]
    more: int
    variables: Sequence[VariableChange]
    asked: Sequence[Question]  # what the guard would ask of it

    @property
    def is_nothing(self) -> bool:
        return not self.changes and not self.variables


def difference_since(snapshot: Snapshot) -> Since | None:
    """The way back from what the panel last put on the node; None when it does not know that any more.

    The restoring run itself compares with what the node has at that time.
    """
    assert snapshot.node is not None
    node = snapshot.node
    last = _last_written(node)
    if last is None:
        return None
    try:
        plan = plan_made(_left(last), configuration_of(snapshot.content), Rules())
    except PanelError:
        return None
    changes = [change for change in plan.changes if change.move in WRITTEN]
    return Since(
        sync=last,
        counts=plan.counts,
        changes=changes[:SHOWN],
        more=max(0, len(changes) - SHOWN),
        variables=plan.variables[:SHOWN],
        asked=questions(plan, removal_limit=node.removal_limit, removal_share=node.removal_share),
    )


def questions_asked(snapshot: Snapshot, since: Since | None) -> tuple[control.Question, ...]:
    """What a person must confirm for it: as far as is known before the run, and what the last run of it asked."""
    taken = snapshot.sync.node_url if snapshot.sync is not None else ""
    known = [*(since.asked if since is not None else ()), *address_asked(taken, snapshot.node.url)]
    found: dict[str, Mapping[str, Any]] = {one.kind: one.as_json() for one in known}
    last = Sync.objects.filter(node=snapshot.node, restored=snapshot).order_by("-id").first()
    if last is not None and last.state == RunState.FAILED:
        found |= {str(one["kind"]): one for one in last.questions if not one.get("confirmed")}
    return control.questions(list(found.values()))


def _last_written(node: Node) -> Sync | None:
    written = node.syncs.filter(
        state=RunState.SUCCEEDED, action__in=(SyncAction.SYNC, SyncAction.RESTORE), before__isnull=False
    )
    return written.exclude(wanted=None).select_related("before", "wanted").order_by("-id").first()


def _left(sync: Sync) -> Configuration:
    """What that sync left on the node; raises PanelError when what it kept cannot be read."""
    assert sync.before is not None
    assert sync.wanted is not None
    rules = Rules.from_json(sync.rules)
    return plan_made(configuration_of(sync.before), configuration_of(sync.wanted), rules).result
