"""What putting a snapshot back would change, as far as the panel knows what the node has now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.access.errors import PanelError
from apps.runs.states import RunState
from apps.sesam.models import SyncAction
from apps.sesam.plan import WRITTEN, plan_made
from apps.sesam.rules import Rules
from apps.sesam.storage import configuration_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.sesam.configuration import Configuration
    from apps.sesam.models import Node, Snapshot, Sync
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

    @property
    def is_nothing(self) -> bool:
        return not self.changes and not self.variables


def difference_since(snapshot: Snapshot) -> Since | None:
    """The way back from what the panel last put on the node; None when it does not know that any more.

    The restoring run itself compares with what the node has at that time.
    """
    assert snapshot.node is not None
    last = _last_written(snapshot.node)
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
    )


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
