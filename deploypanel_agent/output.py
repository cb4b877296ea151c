"""What a command prints, taken from its files into the journal: whole lines, masked, bounded."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from deploypanel_agent.disk import PAGE, give_room

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from deploypanel_agent.journal import Event, Journal
    from deploypanel_agent.masking import Mask

PIECE = 32 * 1024  # bytes of one event's text
READ = 256 * 1024  # bytes at a time
ROOM_STEP = 1024 * 1024  # bytes after which disk is given back
LAST = 32 * 1024  # bytes that are told of an output that was cut off
FULL = (errno.ENOSPC, errno.EDQUOT)


class Output:
    """One stream of one command. `take` moves what is new into the journal; a crash in between repeats nothing."""

    def __init__(self, path: Path, *, stream: str, key: str, journal: Journal, mask: Mask, limit: int) -> None:
        """`limit`: bytes of log that a run may have; what comes after that is counted, and its last lines are told."""
        self._path = path
        self._stream = stream
        self._key = key
        self._journal = journal
        self._mask = mask
        self._limit = limit
        self._handle: int | None = None
        self._seen = 0  # the file's size when it was last looked at
        self._freed = 0

    def take(self, at: Callable[[], str], *, final: bool = False) -> bool:
        """True when the command has printed something since. `final`: it has ended, take the rest too."""
        size = self._size()
        fresh, self._seen = size > self._seen, size
        if self._journal.logged >= self._limit:
            self._pass_over(size, at, final)
            return fresh
        try:
            offset = self._take_all(size, at, final)
        except OSError as error:
            if error.errno not in FULL or not self._relieve(size, at):
                raise
            return fresh
        if final and offset < size:
            self._pass_over(size, at, final)
        self._give_room(offset)
        return fresh

    def _take_all(self, size: int, at: Callable[[], str], final: bool) -> int:
        offset = self._journal.taken(self._key)
        while offset < size and self._journal.logged < self._limit:
            offset, more = self._take_piece(offset, size, at, final)
            if not more:
                break
        return offset

    def _relieve(self, size: int, at: Callable[[], str]) -> bool:
        """This output fills the disk: let go of it but for its last lines, so that the rest can be told.

        False where there is nothing to let go of. Raises OSError when the disk is full all the same.
        """
        offset = self._journal.taken(self._key)
        begin = size - LAST
        begin -= begin % PAGE
        if self._handle is None or begin <= offset:
            return False
        give_room(self._handle, begin)
        words = f"{begin - offset:,} bytes of output are left out here: the agent's disk is full.\n"
        self._journal.append_output(self._key, [({"at": at(), "kind": "log", "stream": "note", "text": words}, begin)])
        return True

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _size(self) -> int:
        if self._handle is None:
            try:
                self._handle = os.open(self._path, os.O_RDWR)
            except OSError:
                return 0
        return os.fstat(self._handle).st_size

    def _take_piece(self, offset: int, size: int, at: Callable[[], str], final: bool) -> tuple[int, bool]:
        """What one read gives, as events in one write; the new offset, and whether there may be more at once."""
        assert self._handle is not None
        data = os.pread(self._handle, min(READ, size - offset), offset)
        events: list[tuple[Event, int]] = []
        used = 0
        while used < len(data):
            length = self._piece(data[used : used + PIECE + self._mask.longest], final and offset + len(data) >= size)
            if not length:
                break
            text = self._text(data[used : used + length])
            used += length
            events.append(({"at": at(), "kind": "log", "stream": self._stream, "text": text}, offset + used))
        if events:
            self._journal.append_output(self._key, events)
        return offset + used, bool(used) and offset + used < size

    def _piece(self, data: bytes, rest: bool) -> int:
        """How many bytes make the next event: whole lines up to its size, or a part of a line that is too long."""
        end = data.rfind(b"\n", 0, PIECE) + 1
        if end:
            return end
        if len(data) >= PIECE + self._mask.longest:
            return self._cut(data)
        return len(data) if rest else 0

    def _cut(self, data: bytes) -> int:
        """Where to cut a line that is too long: between characters, and never inside a secret."""
        end = PIECE
        while end > PIECE - 4 and data[end] & 0xC0 == 0x80:
            end -= 1
        return self._mask.past(data, end)

    def _text(self, data: bytes) -> str:
        text = self._mask(data.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}"))
        return text if text.endswith("\n") else text + "\n"

    def _pass_over(self, size: int, at: Callable[[], str], final: bool) -> None:
        """The run has said enough: only how much more there was, and its last lines, are told when it ends."""
        if not final:
            self._give_room(size - LAST - ROOM_STEP)
            return
        offset = self._journal.taken(self._key)
        if offset >= size:
            return
        assert self._handle is not None
        begin = max(offset, size - LAST)
        data = os.pread(self._handle, size - begin, begin)
        if begin > offset:
            cut = data.find(b"\n") + 1
            begin, data = begin + cut, data[cut:]
        events: list[tuple[Event, int]] = []
        if begin > offset:
            words = f"{begin - offset:,} bytes of output are left out here: more than {self._limit:,} bytes of log.\n"
            events.append(({"at": at(), "kind": "log", "stream": "note", "text": words}, begin))
        if data:
            events.append(({"at": at(), "kind": "log", "stream": self._stream, "text": self._text(data)}, size))
        if events:
            self._journal.append_output(self._key, events)

    def _give_room(self, until: int) -> None:
        if self._handle is not None and until - self._freed >= ROOM_STEP:
            give_room(self._handle, until)
            self._freed = until
