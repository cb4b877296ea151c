"""How a node is opened, and with how much patience."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from apps.sesam.client import NodeClient, Patience
    from apps.sesam.models import Node

PAYING = None


def node_opened(
    node: Node, *, patience: Patience | None = None, pause: Callable[[float, str], None] | None = None
) -> NodeClient:
    """The node's client, to be closed by its caller. `pause(seconds, why)` replaces waiting, and may raise."""
    from apps.sesam.client import NodeClient

    return NodeClient.of(node, patience=patience, pause=pause)
