"""When a run must end before it is done: somebody stops it, it takes too long, or it says nothing for too long."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Cut(Exception):
    """The run ends now. `state` is how it is told, the text why."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state


class Leaving(Exception):
    """The agent's process ends; the run goes on, and the next process takes it up."""


class Limits:
    """The limits of one run. `check` is asked again and again by whatever waits."""

    def __init__(
        self,
        *,
        time_limit: float,
        silence_limit: float,
        already: float,
        stop_by: Callable[[], str | None],
        leaving: threading.Event,
    ) -> None:
        """Limits in seconds, 0: none. `already`: so long the run has been at work before this process took it up."""
        self._time_limit = time_limit
        self._silence_limit = silence_limit
        self._began = self._heard = time.monotonic()
        self._already = already
        self._stop_by = stop_by
        self._leaving = leaving
        self._changed = threading.Event()
        self._changed.set()  # a stop may be on the disk from before

    def wake(self) -> None:
        """Somebody asked to stop."""
        self._changed.set()

    def heard(self) -> None:
        """The run gave a sign of life."""
        self._heard = time.monotonic()

    def check(self) -> None:
        """Raises Cut or Leaving when it is over."""
        if self._leaving.is_set():
            raise Leaving
        if self._changed.is_set():
            self._changed.clear()
            by = self._stop_by()
            if by is not None:
                raise Cut("stopped", f"Stopped by {by}." if by else "Stopped.")
        now = time.monotonic()
        if self._time_limit and now - self._began + self._already > self._time_limit:
            raise Cut("timed_out", f"It took longer than {self._time_limit:g} s.")
        if self._silence_limit and now - self._heard > self._silence_limit:
            raise Cut("timed_out", f"It printed nothing for {self._silence_limit:g} seconds.")

    def pause(self, seconds: float) -> None:
        """Wait, unless it is over before."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.check()
            self._leaving.wait(min(0.1, max(0.0, until - time.monotonic())))
