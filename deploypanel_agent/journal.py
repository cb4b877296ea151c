"""What happened in one run, event by event, on the disk before anybody hears of it.

One line of JSON per event: `{"e": event, "k": key, "to": bytes}`. The event's number is that of its line. `key` names
what must not be told twice, so that a run can be gone through again from its top after a crash: what is in the
journal already is not written again. `to` says how far a command's output has been taken into the journal.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

Event = dict[str, Any]


class Journal:
    """An append-only file. Opening it cuts off a last line that a crash tore."""

    def __init__(self, path: Path, base: int = 0) -> None:
        """`base`: so many events the panel has already from a journal that is no more."""
        self._lock = threading.Lock()
        self._base = base
        self._starts: list[int] = []  # where each line begins
        self._keys: dict[str, Event] = {}
        self._taken: dict[str, int] = {}
        self.ended: Event | None = None
        self.logged = 0  # bytes of log text
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._size = 0
        self._load()

    @property
    def count(self) -> int:
        """The number of the newest event."""
        return self._base + len(self._starts)

    def close(self) -> None:
        with self._lock:
            if self._handle >= 0:
                os.close(self._handle)
                self._handle = -1

    def has(self, key: str) -> Event | None:
        """The event written under this key, if there is one."""
        return self._keys.get(key)

    def taken(self, key: str) -> int:
        """So many bytes of this output are in the journal."""
        return self._taken.get(key, 0)

    def append(self, event: Event, *, key: str = "") -> bool:
        """Write and sync; False when something is there under this key already."""
        with self._lock:
            if key and key in self._keys:
                return False
            self._write([{"e": event, "k": key} if key else {"e": event}])
        return True

    def append_output(self, key: str, events: list[tuple[Event, int]]) -> None:
        """Write and sync pieces of an output, each with the number of bytes that are taken with it."""
        with self._lock:
            self._write([{"e": event, "k": key, "to": to} for event, to in events])

    def _write(self, entries: list[dict[str, Any]]) -> None:
        lines = [_line(entry) for entry in entries]
        os.lseek(self._handle, self._size, os.SEEK_SET)
        try:
            _write_all(self._handle, b"".join(lines))
            os.fsync(self._handle)
        except OSError:  # the disk is full: nothing of it was written, it may be tried again
            os.ftruncate(self._handle, self._size)
            raise
        for entry, line in zip(entries, lines):
            self._note(entry, len(line))

    def read(self, first: int, limit: int) -> list[Event]:
        """Events from number `first` on, about `limit` bytes of them but at least one; empty: none are there."""
        with self._lock:
            index = end = max(0, first - 1 - self._base)
            if index >= len(self._starts) or self._handle < 0:
                return []
            begin = self._starts[index]
            while end < len(self._starts) and (end == index or self._end_of(end) - begin <= limit):
                end += 1
            data = os.pread(self._handle, self._end_of(end - 1) - begin, begin)
        return [json.loads(line)["e"] for line in data.splitlines()]

    def _end_of(self, index: int) -> int:
        return self._starts[index + 1] if index + 1 < len(self._starts) else self._size

    def _load(self) -> None:
        with os.fdopen(os.dup(self._handle), "rb") as stream:
            for line in stream:
                entry = _entry(line)
                if entry is None:
                    break
                self._note(entry, len(line))
        os.ftruncate(self._handle, self._size)

    def _note(self, entry: dict[str, Any], length: int) -> None:
        self._starts.append(self._size)
        self._size += length
        event, key = entry["e"], entry.get("k", "")
        if "to" in entry:
            self._taken[key] = entry["to"]
        elif key:
            self._keys[key] = event
        if event["kind"] == "log":
            self.logged += len(event["text"])
        elif event["kind"] == "ended":
            self.ended = event


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("e"), dict) else None


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
