"""How a node is opened, and with how much patience."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.sesam.client import NodeClient
from apps.sesam.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable

    from apps.sesam.models import Node

WORKING = Patience()
# A run that puts something right has about a minute and a half in all: see pipeline/session.py.
UNDOING = Patience(read=15.0, write=30.0, total=40.0, limit=40.0)
# In a worker, whose task is killed after 50 seconds; checks come again. Each write is sent once, and gets most of that
# time: a node validates a whole configuration before it answers.
PAYING = Patience(read=8.0, write=25.0, total=25.0, tries=1, limit=25.0)


def node_opened(
    node: Node, *, patience: Patience = WORKING, pause: Callable[[float, str], None] | None = None
) -> NodeClient:
    """The node's client, to be closed by its caller. `pause(seconds, why)` replaces waiting, and may raise."""
    return NodeClient.of(node, patience=patience, pause=pause)
