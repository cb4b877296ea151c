"""What was last asked for, within a bound of bytes: the least recently used goes first. No I/O."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recently(Generic[Value]):
    """A small memory that threads share. Something larger than the bound is not remembered at all."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._lock = Lock()
        self._values: OrderedDict[str, tuple[Value, int]] = OrderedDict()

    def get(self, key: str) -> Value | None:
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: str, value: Value, size: int) -> None:
        with self._lock:
            if size > self._limit or key in self._values:
                return
            self._values[key] = (value, size)
            self._held += size
            while self._held > self._limit:
                self._held -= self._values.popitem(last=False)[1][1]

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
            self._held = 0
