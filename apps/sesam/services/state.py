"""The one way in which a node's state is set."""

from __future__ import annotations

from django.utils import timezone

from apps.sesam.models import Node
from apps.sesam.states import NodeState
from apps.sesam.words import shown


def node_state_set(*, node: Node, state: NodeState, detail: str = "") -> bool:
    """Keep what is known of the node now; whether that is news. `state_since` stays while the state does.

    A node that is half changed stays so, whatever else is seen of it, until what is owed is paid.
    """
    rows = Node.objects.filter(pk=node.pk)
    if state not in {NodeState.HALF, NodeState.OFF}:
        rows = rows.filter(owed=None)
    now, detail = timezone.now(), shown(detail)[:500]
    moved = bool(rows.exclude(state=state).update(state=state, state_since=now, state_detail=detail))
    if not moved:
        rows.filter(state=state).exclude(state_detail=detail).update(state_detail=detail)
    elif rows.exists():
        node.state, node.state_since, node.state_detail = state, now, detail
    return moved
