"""Whether a master still has something to bring to the nodes that it feeds, when it is in sync itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.access.errors import PanelError
from apps.sesam.desired import desired_read
from apps.sesam.expansion import MASTER
from apps.sesam.json_text import same
from apps.sesam.models import SyncAction

if TYPE_CHECKING:
    from apps.sesam.desired import Desired
    from apps.sesam.expansion import Share
    from apps.sesam.models import Node

LOOKED_BACK = 20  # runs
# A node that refused has a check of its own, which sees that it is behind.
_DONE = ("succeeded", "asked", "refused")


def unfed(*, node: Node, desired: Desired) -> tuple[str, ...]:
    """The extra nodes whose share has changed since the last run that brought each of them its share, by name.

    Reads the database, and the mirror when the commits differ. Nothing for a node that feeds none.
    """
    shares = desired.expansion.shares if desired.expansion and desired.share is desired.expansion.shares[MASTER] else {}
    names = {name for name in shares if name != MASTER}
    if not names:
        return ()
    commit = _fed_commit(node, names)
    if commit == desired.commit:
        return ()
    before = _shares_at(node, commit)
    return tuple(sorted(name for name in names if name not in before or not _equal(before[name], shares[name])))


def _fed_commit(node: Node, names: set[str]) -> str:
    """Of the newest run that fed them all; empty when none did."""
    runs = node.syncs.filter(action=SyncAction.SYNC).exclude(extras=[]).order_by("-id")
    for commit, extras in runs.values_list("commit", "extras")[:LOOKED_BACK]:
        fed = {one.get("name") for one in extras if one.get("state") in _DONE}
        if names <= fed:
            return str(commit)
    return ""


def _shares_at(node: Node, commit: str) -> dict[str, Share]:
    if not commit:
        return {}
    try:
        expansion = desired_read(node=node, commit=commit).expansion
    except PanelError:  # that commit is gone
        return {}
    return dict(expansion.shares) if expansion else {}


def _equal(one: Share, other: Share) -> bool:
    return (
        one.entities.keys() == other.entities.keys()
        and all(same(entity.value, other.entities[name].value) for name, entity in one.entities.items())
        and same(one.variables, other.variables)
    )
