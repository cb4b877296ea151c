"""Words of sentences: counts, lists of names, and text from files as it may be shown and kept.

PostgreSQL takes neither NUL nor half a character.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ODD = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HALVES = re.compile("[\ud800-\udfff]")


def has_halves(text: str) -> bool:
    """Whether it has halves of characters, as JSON may: nothing can write it."""
    return bool(_HALVES.search(text))


def is_plain(text: str) -> bool:
    """Whether it has neither control characters nor halves of characters."""
    return not _ODD.search(text)


def shown(text: str, keep: str = "") -> str:
    """The text with such characters written out: `\\x00`. Those in `keep` stay."""
    return _ODD.sub(lambda odd: odd[0] if odd[0] in keep else _escape(odd[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def some(names: Iterable[str], most: int = 5) -> str:
    """`a, b, c and 12 more`."""
    chosen = [shown(name) for name in names]
    more = f" and {len(chosen) - most} more" if len(chosen) > most else ""
    return ", ".join(chosen[:most]) + more


def counts_words(counts: Mapping[str, int], none: str = "no change") -> str:
    """A plan's counts: `3 new, 1 changed, 2 variables, 1 secret`; `none` when all of them are 0."""
    words = [f"{counts[move]} {move}" for move in ("new", "changed", "removed") if counts.get(move)]
    words += [number(counts[what], what) for what in ("variables", "secrets") if counts.get(what)]
    return ", ".join(words) or none


def number(count: int, plural: str) -> str:
    """`1 secret`, `2 secrets`."""
    return f"{count} {plural if count != 1 else plural[:-1]}"
