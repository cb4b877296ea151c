"""Patterns of paths and branches, matched part by part, so that no pattern takes long on any path.

`*` and `?` stay within one part, and `**` as a whole part stands for any number of them: `web/**`, `**/*.md`.
"""

from __future__ import annotations

from apps.access.errors import InputError
from deploypanel_agent.patterns import LONGEST, text_matches

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
