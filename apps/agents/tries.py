"""How often an address may guess. Kept in each web process: what is guarded is far beyond guessing anyway."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from apps.agents.errors import TooManyTries

LIMIT, WINDOW = 10, 60.0  # wrong tries in so many seconds
ADDRESSES = 10_000  # remembered at most


class Tries:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raises TooManyTries."""
        now = time.monotonic()
        with self._lock:
            recent = [at for at in self._wrong.get(address, ()) if now - at < WINDOW]
        if len(recent) >= LIMIT:
            raise TooManyTries(int(WINDOW - (now - recent[0])) + 1)

    def failed(self, address: str) -> None:
        with self._lock:
            times = self._wrong.pop(address, [])
            self._wrong[address] = [*times[-LIMIT + 1 :], time.monotonic()]
            while len(self._wrong) > ADDRESSES:
                self._wrong.popitem(last=False)
