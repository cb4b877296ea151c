"""How long to wait for a node, how often to try again, and how the pauses grow. No I/O."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True)
class Patience:
    """All times in seconds.

    `connect`: until a connection stands, TLS included. `read`, `write`: of silence, after asking and after sending
    something. `total`: one attempt from its first byte to its last, however busily it drips. `limit`: all attempts
    and pauses of one call together. `retry_after`: the longest pause that a node may ask for.
    """

    connect: float = 3.0
    read: float = 30.0
    write: float = 120.0  # a node validates a whole configuration before it answers
    total: float = 180.0
    tries: int = 5
    limit: float = 240.0
    first: float = 0.5
    longest: float = 20.0
    retry_after: float = 60.0
    chance: Callable[[], float] = field(default=random.random, repr=False, compare=False)

    def pause(self, tried: int, spent: float, asked: float | None = None) -> float | None:
        """Seconds until the next attempt, after `tried` ones and `spent` seconds; None: enough is enough.

        The pauses double, and each is between half and all of that, so that nodes which went away together are not
        asked together. What the node asked for is waited for at least, unless it is more than patience has.
        """
        if tried >= self.tries:
            return None
        grown: float = min(self.longest, self.first * 2.0 ** (tried - 1))
        wait = grown * (0.5 + self.chance() / 2)
        if asked is not None:
            if asked > self.retry_after:
                return None
            wait = max(wait, asked)
        return wait if spent + wait < self.limit else None


# For checks, which watch many nodes and come again soon: short silences, and one more try at most.
QUICK = Patience(read=10.0, write=10.0, total=20.0, tries=2, limit=25.0, retry_after=5.0)


def retry_after(header: str, now: datetime | None = None) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or as a date; None where it says nothing sensible."""
    text = header.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:  # “-0000”, which HTTP does not know
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())
