"""The start page's part about Sesam nodes, made from rows already read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.runs.notices import Badge
from apps.sesam.control import TONES, state_badge
from apps.sesam.models import ApplyMode, Node
from apps.sesam.states import NodeState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apps.runs.models import Run

# What a person should look at, the gravest first; the other states follow as they are declared.
GRAVE = (NodeState.HALF, NodeState.UNREACHABLE, NodeState.BROKEN, NodeState.ASKS, NodeState.DRIFTED, NodeState.BEHIND)
ORDER = {state: place for place, state in enumerate((*GRAVE, *(one for one in NodeState if one not in GRAVE)))}
SHOWN = 60  # tiles; a board of hundreds helps nobody, and the gravest come first


@dataclass(frozen=True, kw_only=True)
class NodeTile:
    """One node: what is known of it, and everything that stands in the way."""

    node: Node
    badge: Badge
    run: Run | None
    flags: tuple[Badge, ...]

    @property
    def is_bad(self) -> bool:
        return self.run is None and self.badge.tone == "bad"


@dataclass(frozen=True, kw_only=True)
class StateCount:
    """How many nodes are in a state."""

    state: NodeState
    tone: str
    number: int


@dataclass(frozen=True, kw_only=True)
class NodeBoard:
    """All nodes that one person may see, the gravest first."""

    tiles: tuple[NodeTile, ...] = ()

    @property
    def shown(self) -> tuple[NodeTile, ...]:
        return self.tiles[:SHOWN]

    @property
    def hidden(self) -> int:
        """Tiles that are not shown."""
        return max(0, len(self.tiles) - SHOWN)

    @property
    def counts(self) -> list[StateCount]:
        found = Counter(state_of(tile.node) for tile in self.tiles)
        states = sorted(found, key=ORDER.__getitem__)
        return [StateCount(state=state, tone=TONES[state], number=found[state]) for state in states]

    @property
    def busy(self) -> int:
        return sum(tile.run is not None for tile in self.tiles)

    @property
    def troubled(self) -> int:
        """Nodes that need somebody."""
        return sum(state_of(tile.node) in GRAVE[:5] for tile in self.tiles)


def node_tile(node: Node, *, run: Run | None, flags: Iterable[Badge]) -> NodeTile:
    return NodeTile(node=node, badge=state_badge(node), run=run, flags=(*flags, *node_flags(node)))


def node_board(tiles: Iterable[NodeTile]) -> NodeBoard:
    return NodeBoard(tiles=tuple(sorted(tiles, key=lambda tile: (ORDER[state_of(tile.node)], tile.node.name))))


def state_of(node: Node) -> NodeState:
    """Off counts at once, before a check has noticed."""
    return NodeState(node.state) if node.enabled else NodeState.OFF


def node_flags(node: Node) -> Iterable[Badge]:
    if node.auto_paused_at is not None and node.apply_mode != ApplyMode.MANUAL:
        yield Badge(text="Applying paused", tone="warn", hint=node.auto_paused_reason)
    if not node.verify_tls:
        yield Badge(
            text="TLS not verified", tone="warn", hint="Anyone between the panel and it can read and change it."
        )
    elif node.is_in_clear:
        yield Badge(text="Not encrypted", tone="warn", hint="Anyone between the panel and it can read and change it.")
