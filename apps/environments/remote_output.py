"""What a script on a host said, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_OUTPUT = 256 * 1024  # bytes of a script's output that its Outcome keeps, the last ones


@dataclass(kw_only=True)
class Outcome:
    """How a remote script ended. `status` is None when it was stopped before it ended."""

    status: int | None
    out: str
    err: str
    stopped: bool = False

    @property
    def ok(self) -> bool:
        return self.status == 0


@dataclass
class Kept:
    """The last bytes of a stream, passed on as they come."""

    sink: Callable[[bytes], object] | None
    data: bytearray = field(default_factory=bytearray)

    def take(self, chunk: bytes) -> None:
        self.data += chunk
        if len(self.data) > 2 * KEPT_OUTPUT:
            del self.data[:-KEPT_OUTPUT]
        if self.sink is not None:
            self.sink(chunk)

    def text(self) -> str:
        return bytes(self.data[-KEPT_OUTPUT:]).decode("utf-8", "replace")
