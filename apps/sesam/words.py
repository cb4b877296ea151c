"""Text from files as it may be shown and kept: PostgreSQL takes neither NUL nor half a character."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

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
