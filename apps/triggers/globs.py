"""Patterns with wildcards, matched piece by piece, so that no pattern takes long on any text.

In a text: `*` any characters, `?` one. In a path or a branch, `*` and `?` stay within one part, and `**` as a whole
part stands for any number of them: `web/**`, `**/*.md`.
"""

from __future__ import annotations

import re

from apps.access.errors import InputError

LONGEST = 500  # characters of a pattern
MOST_PATTERNS = 100


def patterns_checked(patterns: object, place: str = "") -> list[str]:
    """A list of patterns of paths or branches; raises InputError, which tells `place`."""
    if not isinstance(patterns, list):
        raise InputError("give a list of patterns, such as [main, release/*].", place)
    if len(patterns) > MOST_PATTERNS:
        raise InputError(f"give at most {MOST_PATTERNS} patterns.", place)
    for number, pattern in enumerate(patterns, start=1):
        if not isinstance(pattern, str) or not pattern.strip("/ ") or len(pattern) > LONGEST or "\0" in pattern:
            raise InputError(f"pattern {number} must be a text of 1 to {LONGEST} characters.", place)
    return patterns


def text_matches(text: str, pattern: str) -> bool:
    """Whether all of the text is as the pattern says."""
    first, *others = pattern.split("*")
    if not others:
        return len(text) == len(first) and _found(text, first, 0) == 0
    *middle, last = others
    if len(text) < len(first) + len(last) or _found(text[: len(first)], first, 0) < 0:
        return False
    end = len(text) - len(last)
    if _found(text[end:], last, 0) < 0:
        return False
    at = len(first)
    for piece in middle:  # the leftmost place of each leaves most to the others
        found = _found(text[:end], piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _found(text: str, piece: str, at: int) -> int:
    """Where the piece, which has no star, lies first from `at` on; -1 for nowhere."""
    if "?" not in piece:
        return text.find(piece, at)
    # Nothing in it repeats, so this takes no longer than looking at each place.
    match = re.compile(".".join(map(re.escape, piece.split("?"))), re.DOTALL).search(text, at)
    return match.start() if match else -1


def path_matches(path: str, pattern: str) -> bool:
    """Whether a path or a branch is as the pattern says. `web/` means `web/**`."""
    if pattern.endswith("/"):
        pattern += "**"
    parts = pattern.strip("/").split("/")
    # Of each part of the path: behind how many parts of the pattern can one stand there?
    open_at = _past_stars({0}, parts)
    names = path.strip("/").split("/")
    for name in names:
        reached = {at for at in open_at if at < len(parts) and parts[at] == "**"}
        reached |= {at + 1 for at in open_at if at < len(parts) and text_matches(name, parts[at])}
        open_at = _past_stars(reached, parts)
    return len(parts) in open_at


def any_path_matches(path: str, patterns: list[str]) -> bool:
    """Whether one of them fits; without any pattern, every path does."""
    return not patterns or any(path_matches(path, pattern) for pattern in patterns)


def _past_stars(reached: set[int], parts: list[str]) -> set[int]:
    """`**` may stand for no part at all, except at the end: what lies below `web` is not `web` itself."""
    found = set(reached)
    for at in sorted(reached):
        while at < len(parts) - 1 and parts[at] == "**":
            at += 1  # noqa: PLW2901 - walks on from there
            found.add(at)
    return found
