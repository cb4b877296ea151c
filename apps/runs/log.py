"""The log of one run, as its single writer sees it: pieces of output in, whole masked lines in order out.

`LogWriter` is what work writes to, from any thread. It keeps the order within each host; `Recorder`
(recorder.py) takes what has gathered, every few milliseconds, and stores it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from apps.runs.lines import LineBuffer, split_long, storable
from apps.runs.masks import Masks
from apps.runs.models import Stream

CHUNK_SIZE = 64 * 1024  # characters of one stored chunk, about
PENDING_LIMIT = 8 * 1024 * 1024  # characters waiting to be stored; then whoever writes waits too
NOTES_BEYOND = 1024 * 1024  # bytes of the panel's own notes that are stored even after the cap


@dataclass
class Piece:
    """Lines of one stream of one host, not stored yet."""

    host: str
    stream: Stream
    texts: list[str]


class LogWriter:
    """Thread-safe. `limit`: bytes of output to keep; more is thrown away, said once in the log."""

    def __init__(self, *, limit: int) -> None:
        self.masks = Masks()
        self.last_output = time.monotonic()
        self.full = False  # the cap was reached
        self._limit = limit
        self._stored = 0  # bytes taken so far
        self._changed = threading.Condition()
        self._buffers: dict[tuple[str, Stream], LineBuffer] = {}
        self._pieces: list[Piece] = []
        self._newest: dict[str, Piece] = {}  # by host: the piece that more lines of the same stream join
        self._pending = 0
        self._woken = self._closed = False

    def out(self, data: bytes | str, host: str = "") -> None:
        """A piece of a program's output, not necessarily whole lines."""
        self._write(data, host, Stream.OUT)

    def err(self, data: bytes | str, host: str = "") -> None:
        """A piece of a program's error output."""
        self._write(data, host, Stream.ERR)

    def note(self, text: str, host: str = "") -> None:
        """Whole lines of the panel's own."""
        text = LineBuffer(self.masks).feed(text.rstrip("\n") + "\n")
        with self._changed:
            self.last_output = time.monotonic()
            self._add(text, host, Stream.NOTE)

    def shown(self, value: Any) -> Any:
        """A text that is stored beside the log, or JSON with texts in it, without secrets and as databases take it."""
        if isinstance(value, str):
            return self.masks.hide(storable(value))
        if isinstance(value, dict):
            return {self.shown(key): self.shown(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.shown(part) for part in value]
        return value

    def end_line(self, host: str = "") -> None:
        """A program of that host has ended: what it left without a newline is a line."""
        with self._changed:
            for (owner, stream), buffer in self._buffers.items():
                if owner == host and (rest := buffer.finish()):
                    self._add(rest, owner, stream)

    def close(self) -> None:
        """Finish every line; nobody waits for room any more."""
        with self._changed:
            self._closed = True
            for (host, stream), buffer in self._buffers.items():
                if rest := buffer.finish():
                    self._add(rest, host, stream)
            self._changed.notify_all()

    # For the recorder

    def wait(self, seconds: float) -> None:
        """Return when something is pending, when woken, or after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._woken or self._closed, seconds)
            self._woken = False

    def wait_for_chunk(self, seconds: float) -> None:
        """Let lines gather: return after `seconds`, or as soon as a whole chunk is there."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending >= CHUNK_SIZE or self._closed, seconds)

    def wake(self) -> None:
        """There is something else to store."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def take(self) -> list[tuple[str, Stream, str]]:
        """All pending lines as (host, stream, text), masked and cut into chunks, in order; they are the taker's now."""
        with self._changed:
            pieces, self._pieces, self._newest, self._pending = self._pieces, [], {}, 0
            self._changed.notify_all()
        return [
            (piece.host, piece.stream, text)
            for piece in pieces
            for text in _chunks(split_long(self.masks.hide("".join(piece.texts))))
        ]

    def _write(self, data: bytes | str, host: str, stream: Stream) -> None:
        if not data:
            return
        with self._changed:
            self.last_output = time.monotonic()
            if self.full:
                return
            self._changed.wait_for(lambda: self._pending < PENDING_LIMIT or self._closed)
            buffer = self._buffers.get((host, stream))
            if buffer is None:
                buffer = self._buffers[host, stream] = LineBuffer(self.masks)
            if lines := buffer.feed(data):
                self._add(lines, host, stream)

    def _add(self, text: str, host: str, stream: Stream) -> None:
        """Append whole lines; the lock is held."""
        if stream is Stream.NOTE:
            if self._stored > self._limit + NOTES_BEYOND:
                return
        elif self.full:
            return
        elif self._stored + _size(text) > self._limit:
            self._fill(text, host, stream)
            return
        self._append(text, host, stream)

    def _fill(self, text: str, host: str, stream: Stream) -> None:
        """The last lines that fit, and why there are no more."""
        self.full = True
        room = text.encode()[: max(0, self._limit - self._stored)].decode("utf-8", "ignore")
        if end := room.rfind("\n") + 1:
            self._append(room[:end], host, stream)
        size = f"{self._limit / 1048576:g} MiB" if self._limit >= 1048576 else f"{self._limit} bytes"
        self._append(
            f"The log has reached its limit of {size}: more output is not kept. The work goes on.\n", "", Stream.NOTE
        )

    def _append(self, text: str, host: str, stream: Stream) -> None:
        piece = self._newest.get(host)
        if piece is None or piece.stream is not stream:
            piece = self._newest[host] = Piece(host, stream, [])
            self._pieces.append(piece)
        piece.texts.append(text)
        before = self._pending
        self._pending += len(text)
        self._stored += _size(text)
        if not before or self._pending >= CHUNK_SIZE:
            self._changed.notify_all()


def _chunks(text: str) -> list[str]:
    """Whole lines, about CHUNK_SIZE characters at a time."""
    parts = []
    start = 0
    while len(text) - start > CHUNK_SIZE:
        end = text.rfind("\n", start, start + CHUNK_SIZE) + 1 or text.index("\n", start) + 1
        parts.append(text[start:end])
        start = end
    if start < len(text):
        parts.append(text[start:])
    return parts


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
