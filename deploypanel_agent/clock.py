"""The time, by the panel's clock as far as it is known: a machine's own may be wrong."""

from __future__ import annotations

import datetime as dt
import threading

NOISE = 2.0  # seconds that a message may have been under way


class Clock:
    """Seconds since 1970 by the panel's clock. Until the panel has told the time, by the machine's."""

    def __init__(self, offset: float = 0.0) -> None:
        self._offset = offset
        self._lock = threading.Lock()

    def set_by(self, told: str, now: float) -> float:
        """Learn from a `time` of the panel, heard at `now` of this machine; the offset in seconds."""
        moment = seconds_of(told)
        offset = 0.0 if moment is None or abs(moment - now) <= NOISE else moment - now
        with self._lock:
            self._offset = offset
        return offset

    def text(self, now: float) -> str:
        """The moment as the panel wants to have it: ISO 8601 in UTC."""
        with self._lock:
            moment = now + self._offset
        return dt.datetime.fromtimestamp(moment, dt.timezone.utc).isoformat(timespec="microseconds")

    def age(self, told: str, now: float) -> float:
        """Seconds since a moment that the panel told; 0 when it makes no sense."""
        moment = seconds_of(told)
        with self._lock:
            return 0.0 if moment is None else max(0.0, now + self._offset - moment)


def seconds_of(told: str) -> float | None:
    """A moment in ISO 8601 as seconds since 1970; None when it is none."""
    try:
        return dt.datetime.fromisoformat(str(told).replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None
