"""The end of a download's time: time-outs of sockets count silence only, so a timer cuts the connection itself."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Watch:
    """The time of one download in seconds, over all its connections; `cut` from any thread ends it early."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.expired = False
        self._ends = time.monotonic() + seconds
        self._handle: socket.socket | None = None
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        return 0.0 if self.expired else max(0.0, self._ends - time.monotonic())

    def holds(self, connection: socket.socket) -> None:
        """This is the connection to cut, even when TLS takes its descriptor over."""
        with self._lock:
            if self._handle is not None:
                self._handle.close()
            self._handle = connection.dup()
            if self.expired:
                _cut(self._handle)

    def cut(self) -> None:
        with self._lock:
            self.expired = True
            if self._handle is not None:
                _cut(self._handle)

    @contextlib.contextmanager
    def running(self) -> Iterator[Watch]:
        timer = threading.Timer(self.left, self.cut)
        timer.daemon = True
        timer.start()
        try:
            yield self
        finally:
            timer.cancel()
            with self._lock:
                if self._handle is not None:
                    self._handle.close()
                self._handle = None


def _cut(handle: socket.socket) -> None:
    with contextlib.suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)
