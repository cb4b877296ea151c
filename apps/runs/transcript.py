"""Reading a run's log back: by sequence to follow it, by line to scroll in it, by text to search it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.runs.models import LogChunk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

# Terminal escapes: colours and cursor moves (CSI), titles and links (OSC), and the two-byte rest.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")

# How many chunks one query may bring. A chunk is at most about 64 KiB, so this bounds the memory of a reader.
_FEWEST, _MOST = 4, 128
_BACKWARDS = 32  # chunks at a time for those who read from the end
_SMALL, _LARGE = 128 * 1024, 512 * 1024  # characters in one query below which the next asks for more, or for less


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stored batch of whole lines of one stream of one host."""

    seq: int
    host: str
    stream: str
    at: datetime
    first_line: int
    text: str

    @property
    def lines(self) -> list[str]:
        """The lines without their newlines. Only a newline ends one: other separators are text."""
        return self.text.removesuffix("\n").split("\n")


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    host: str
    stream: str
    at: datetime
    text: str


_COLUMNS = ("seq", "host", "stream", "at", "first_line", "text")


def plain(text: str) -> str:
    """`text` without terminal escapes and control characters: safe to `cat`, and to read."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


class ChunkReader:
    """Reads a run's chunks in order, few at a time when they are large and many when they are small."""

    def __init__(self, run_id: int, after: int = 0, host: str | None = None) -> None:
        self.after = after
        self.more = True  # the last query came back full: there may be more at once
        self._limit = 16
        self._chunks = LogChunk.objects.filter(run_id=run_id).order_by("seq")
        if host is not None:
            self._chunks = self._chunks.filter(host=host)

    def read(self) -> list[Chunk]:
        """The next chunks, empty when there are no more for now. One query."""
        rows = self._chunks.filter(seq__gt=self.after).values_list(*_COLUMNS)[: self._limit]
        found = [Chunk(*row) for row in rows]
        self.more = len(found) == self._limit
        if found:
            self.after = found[-1].seq
            self._adapt(sum(len(chunk.text) for chunk in found))
        return found

    def _adapt(self, size: int) -> None:
        if size < _SMALL:
            self._limit = min(_MOST, self._limit * 2)
        elif size > _LARGE:
            self._limit = max(_FEWEST, self._limit // 2)


def chunk_with_line(run_id: int, number: int) -> int:
    """The sequence number of the chunk that holds line `number`, of the last one before it, or 0.

    A search by halves over the unique index (run, seq): line numbers rise with sequence numbers.
    """
    chunks = LogChunk.objects.filter(run_id=run_id).order_by("-seq")
    low, high = 0, chunks.values_list("seq", flat=True).first() or 0
    while low < high:
        middle = (low + high + 1) // 2
        row = chunks.filter(seq__lte=middle).values_list("seq", "first_line").first()
        if row is None or row[1] <= number:
            low = middle
        else:
            high = row[0] - 1
    return low


def lines_from(run_id: int, start: int, count: int) -> Iterator[Line]:
    """At most `count` lines, beginning with line number `start` (the first is 1)."""
    reader = ChunkReader(run_id, after=max(0, chunk_with_line(run_id, start) - 1))
    end = start + count
    while chunks := reader.read():
        for chunk in chunks:
            for number, text in enumerate(chunk.lines, chunk.first_line):
                if number >= end:
                    return
                if number >= start:
                    yield Line(number, chunk.host, chunk.stream, chunk.at, text)


def tail_after(run_id: int, last_line: int, lines: int) -> int:
    """The sequence number after which about the last `lines` lines of the log are found."""
    if last_line <= lines:
        return 0
    return max(0, chunk_with_line(run_id, last_line - lines + 1) - 1)


def lines_matching(
    run_id: int, *, host: str | None, text: str, most: int, stream: str | None = None
) -> tuple[list[Line], bool]:
    """The newest `most` lines of `host` and `stream` (None: of all) that contain `text`, whatever its case.

    Oldest first. The second value tells whether older ones were left out.
    """
    wanted = text.casefold()
    found: list[Line] = []
    for chunk in _chunks_backwards(run_id, host, stream):
        if wanted not in chunk.text.casefold():
            continue
        for number, line in reversed(list(enumerate(chunk.lines, chunk.first_line))):
            if wanted in line.casefold():
                if len(found) == most:
                    return found[::-1], True
                found.append(Line(number, chunk.host, chunk.stream, chunk.at, line))
    return found[::-1], False


def _chunks_backwards(run_id: int, host: str | None, stream: str | None) -> Iterator[Chunk]:
    chunks = LogChunk.objects.filter(run_id=run_id).order_by("-seq")
    if host is not None:
        chunks = chunks.filter(host=host)
    if stream is not None:
        chunks = chunks.filter(stream=stream)
    rows = list(chunks.values_list(*_COLUMNS)[:_BACKWARDS])
    while rows:
        yield from (Chunk(*row) for row in rows)
        rows = list(chunks.filter(seq__lt=rows[-1][0]).values_list(*_COLUMNS)[:_BACKWARDS])


def text_parts(run_id: int, host: str | None = None) -> Iterator[bytes]:
    """The log as plain UTF-8 text, some chunks at a time.

    The whole log names the host before each line (`web1: text`), as `manage.py runs show` does; the log of
    one host is its bare lines.
    """
    reader = ChunkReader(run_id, host=host)
    while chunks := reader.read():
        yield "".join(_as_text(chunk, named=host is None) for chunk in chunks).encode()


def _as_text(chunk: Chunk, *, named: bool) -> str:
    text = plain(chunk.text)
    if not named or not chunk.host:
        return text
    return "".join(f"{chunk.host}: {line}\n" for line in text.removesuffix("\n").split("\n"))
