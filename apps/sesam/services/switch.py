"""Switching a node on and off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.access import gate
from apps.sesam.models import Node
from apps.sesam.services.state import node_state_set
from apps.sesam.states import NodeState

if TYPE_CHECKING:
    from apps.access.actor import Actor


def node_switch(*, node: Node, actor: Actor, enabled: bool) -> None:
    """A node that is off is neither checked nor changed. For those who may configure it; raises Refused."""
    action = "switch on" if enabled else "switch off"
    gate.require(actor=actor, act=gate.Act.CONFIGURE, subject=node, action=action)
    rows = Node.objects.filter(pk=node.pk)
    # What was compared and pushed before says nothing about the node when it comes back.
    rows.update(enabled=enabled, wanted_commit="", check_after=None, compared="")
    if not enabled:
        node_state_set(node=node, state=NodeState.OFF)
        return
    owed = rows.get().owed
    detail = f"Run #{owed.run_number} left something that is still to be put right." if owed is not None else ""
    node_state_set(node=node, state=NodeState.UNKNOWN if owed is None else NodeState.HALF, detail=detail)
