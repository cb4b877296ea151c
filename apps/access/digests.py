"""Secrets that are only ever compared: kept as digests under the key ring, so that a stolen database tells nothing.

A digest is HMAC-SHA256 with a key of the ring. Any key of the ring verifies; what an older key made is good until
that key leaves the ring, so whoever verifies writes it anew with the newest one (`Match.stale`).
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from typing import TYPE_CHECKING

from django.conf import settings

from apps.access.secrets import keys_of, ring_text_fresh

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEME = "hmac-sha256:"


class Match(enum.Enum):
    """How a given text compares with kept digests. Only NONE is false."""

    NONE = 0
    FRESH = 1
    STALE = 2  # made with an older key of the ring

    def __bool__(self) -> bool:
        return self is not Match.NONE


def keyed_digest(plain: str, purpose: str) -> str:
    """The digest to keep, by the ring's newest key. The same text has another digest for another purpose."""
    return _digest(keys_of(settings.KEY_RING)[0], plain, purpose)


def digest_matches(kept: Sequence[str], given: str, purpose: str) -> list[Match]:
    """For each kept digest whether `given` is its text. The same work whatever is right; empty ones never match."""
    held = keys_of(settings.KEY_RING)
    found = _matches(held, kept, given, purpose)
    if not any(found) and (fresh := keys_of(ring_text_fresh())) != held:
        found = _matches(fresh, kept, given, purpose)  # the ring was rotated while this process runs
    return found


def _matches(keys: Sequence[str], kept: Sequence[str], given: str, purpose: str) -> list[Match]:
    found = [Match.NONE] * len(kept)
    for age, key in enumerate(keys):
        made = _digest(key, given, purpose).encode()
        for place, digest in enumerate(kept):
            if hmac.compare_digest(made, digest.encode("utf-8", "replace")) and given and digest:
                found[place] = Match.STALE if age else Match.FRESH
    return found


def _digest(key: str, plain: str, purpose: str) -> str:
    text = f"{purpose}\0{plain}".encode("utf-8", "surrogatepass")
    return SCHEME + hmac.new(key.encode(), text, hashlib.sha256).hexdigest()
