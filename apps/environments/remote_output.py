"""What a script on a host said, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
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


class Kept:
    """One stream between the marks around a script: passed on as it comes, its last bytes kept."""

    def __init__(self, mark: str, sink: Callable[[bytes], object] | None = None) -> None:
        self._begin, self._end = f"{mark}<\n".encode(), f"{mark} ".encode()
        self._sink = sink
        self._data = bytearray()
        self._held = b""  # before the script begins all, then what may be the beginning of the end
        self._begun = self._ended = False

    def take(self, chunk: bytes) -> None:
        self._held += chunk
        if not self._begun:
            _, mark, rest = self._held.partition(self._begin)
            if not mark:
                return
            self._begun, self._held = True, rest
        if self._ended:
            return
        data = self._held
        end = data.find(self._end)
        self._ended = end >= 0
        if not self._ended:
            end = len(data) - self._beginning(data)
        self._held = data[end:]
        self._pass_on(data[:end])

    @property
    def ended(self) -> bool:
        """The whole line with the last mark is there."""
        return self._ended and b"\n" in self._held

    @property
    def status(self) -> int | None:
        """The number behind the last mark."""
        words = self._held.split(b"\n", 1)[0].split() if self.ended else []
        return int(words[1]) if len(words) == 2 and words[1].isdigit() else None

    def text(self) -> str:
        return bytes(self._data[-KEPT_OUTPUT:]).decode("utf-8", "replace").replace("\0", "")  # PostgreSQL takes none

    def close(self) -> None:
        """No mark will come: what was held back is output, such as why the user's shell refuses."""
        if not self._ended:
            held, self._held = self._held, b""
            self._pass_on(held)

    def _beginning(self, data: bytes) -> int:
        """How many of the last bytes could be the first ones of the mark."""
        for length in range(min(len(self._end) - 1, len(data)), 0, -1):
            if data.endswith(self._end[:length]):
                return length
        return 0

    def _pass_on(self, data: bytes) -> None:
        if not data:
            return
        self._data += data
        if len(self._data) > 2 * KEPT_OUTPUT:
            del self._data[:-KEPT_OUTPUT]
        if self._sink is not None:
            self._sink(data)
