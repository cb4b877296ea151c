"""What a node answered: its configuration, not looked into before someone asks, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from apps.sesam.archive import BadArchive, configuration_read
from apps.sesam.errors import NodeFault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apps.sesam.configuration import Configuration


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """What a node says of itself; empty where it does not say."""

    version: str = ""
    state: str = ""


@dataclass(frozen=True)
class Download:
    """A node's configuration as it came.

    `not_modified`: the node said that it is the one of the ETag given; then there is nothing else. `digest` is over
    names and contents, not over a zip's order and times; `size` counts what came over the wire, in bytes.
    """

    address: str
    not_modified: bool = False
    etag: str = ""
    digest: str = ""
    size: int = 0
    unpack: Callable[[], Mapping[str, bytes]] = field(default=dict, repr=False)

    @cached_property
    def configuration(self) -> Configuration:
        """The entities, unpacked and parsed now. Raises NodeFault when the node holds what cannot be read."""
        try:
            return configuration_read(self.unpack())
        except BadArchive as error:
            raise NodeFault(f"The configuration of {self.address} {error}", "Look at the node.") from None
