"""Patterns with wildcards for a whole text: `*` any characters, `?` one.

Matched piece by piece, so that no pattern takes long on any text.
"""

from __future__ import annotations

import re

LONGEST = 500  # characters of a pattern; whoever takes one from outside checks it


def text_matches(text: str, pattern: str) -> bool:
    """Whether all of the text is as the pattern says."""
    first, *others = pattern.split("*")
    if not others:
        return len(text) == len(first) and _found(text, first, 0, len(text)) == 0
    *middle, last = others
    end = len(text) - len(last)
    if end < len(first) or _found(text, first, 0, len(first)) < 0 or _found(text, last, end, len(text)) < 0:
        return False
    at = len(first)
    for piece in middle:  # the leftmost place of each leaves most to the others
        found = _found(text, piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _found(text: str, piece: str, start: int, end: int) -> int:
    """Where the piece, which has no star, lies first between the two; -1 for nowhere."""
    if "?" not in piece:
        return text.find(piece, start, end)
    # Nothing in it repeats, so this takes no longer than looking at each place.
    match = re.compile(".".join(map(re.escape, piece.split("?"))), re.DOTALL).search(text, start, end)
    return match.start() if match else -1
