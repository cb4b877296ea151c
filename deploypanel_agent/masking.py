"""The agent's own secrets never leave it in a log: replaced by value, last thing before the journal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "•••"
SHORTEST = 6  # characters: shorter ones would blot out half a log


class Mask:
    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, known))) if known else None
        encoded = [re.escape(secret.encode()) for secret in known]
        self._bytes = re.compile(b"|".join(encoded)) if encoded else None
        self.longest = len(known[0].encode()) if known else 0  # bytes

    def __call__(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text

    def past(self, data: bytes, end: int) -> int:
        """`end`, or the end of the secret that would be cut in two there."""
        for found in self._bytes.finditer(data) if self._bytes else ():
            if found.start() < end < found.end():
                return found.end()
        return end
