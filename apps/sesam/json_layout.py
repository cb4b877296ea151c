"""JSON values as trees of what a reader sees: one line where it fits, lines of their own where it does not. No I/O.

Sesam's transformations (DTL) are lists in lists. One word a line, as JSON is usually indented, nobody can read
them; so a list that holds no objects stays on one line while it fits.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from apps.sesam.json_text import canonical
from apps.sesam.words import is_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from apps.sesam.configuration import Json

WIDTH = 84  # characters that a list may have on one line, without what stands before it
DEPTH_MOST = 60  # what lies deeper is one line, however long
FIRST_KEYS = ("_id", "type")

_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
# Zero-width characters, and those that change the direction of what follows.
_TURNING = re.compile("[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


class Value:
    """One value. `same` is equal for equal values; `text` is the whole of it on one line."""

    __slots__ = ("_depth", "_items", "_listed", "fits", "keys", "same", "text")

    def __init__(self, text: str, same: str, *, fits: bool, keys: dict[str, Value] | None = None) -> None:
        self.text = text
        self.same = same
        self.fits = fits  # it is shown on one line
        self.keys = keys  # of an object, in canonical order
        self._listed: list[Json] | None = None
        self._items: list[Value] | None = None
        self._depth = 0

    @classmethod
    def of_list(cls, listed: list[Json], depth: int) -> Value:
        """Its items are looked at one by one only when someone asks: most lists are equal on both sides."""
        text = _encode(listed)
        if "{" in text or ".0" in text or "e+" in text or not text.isascii():
            items = [value_of(item, depth + 1) for item in listed]
            text, same = (f"[{', '.join(getattr(item, name) for item in items)}]" for name in ("text", "same"))
        else:
            items, same = None, text
        found = cls(text, same, fits=len(text) <= WIDTH and _is_flat(listed))
        found._listed, found._items, found._depth = listed, items, depth
        return found

    @property
    def items(self) -> list[Value] | None:
        """Of a list."""
        if self._items is None and self._listed is not None:
            self._items = [value_of(item, self._depth + 1) for item in self._listed]
        return self._items

    @property
    def size(self) -> int:
        """How many parts it has."""
        return len(self._listed if self._listed is not None else self.keys or ())

    @property
    def is_open(self) -> bool:
        """It has parts that can be shown on lines of their own."""
        return self._listed is not None or self.keys is not None

    @property
    def brackets(self) -> str:
        return "{}" if self.keys is not None else "[]"

    def children(self) -> Iterator[tuple[str, Value]]:
        """Each part with what stands before it."""
        if self.keys is not None:
            return ((prefix(key), value) for key, value in self.keys.items())
        return (("", value) for value in self.items or ())


def value_of(json_value: Json, depth: int = 0) -> Value:
    """The tree of one JSON value."""
    if isinstance(json_value, (dict, list)) and depth >= DEPTH_MOST:
        return Value(_readable(json_value), _encode(json.loads(canonical(json_value))), fits=True)
    if isinstance(json_value, dict):
        return _object(json_value, depth)
    if isinstance(json_value, list):
        return Value.of_list(json_value, depth)
    text = _readable(json_value)
    whole = isinstance(json_value, float) and json_value.is_integer()
    return Value(text, str(int(json_value)) if whole else text, fits=True)


def canonical_keys(keys: Set[str]) -> list[str]:
    """`_id`, `type`, then the others by name."""
    first = [key for key in FIRST_KEYS if key in keys]
    return first + sorted(keys - set(FIRST_KEYS))


def prefix(key: str) -> str:
    return f"{_readable(key)}: "


def laid_out(json_value: Json) -> str:
    """The whole value as a reader sees it: keys in canonical order, two spaces a step. It is JSON."""
    return "\n".join("  " * depth + text for depth, text in lines_of(value_of(json_value)))


def lines_of(value: Value, lead: str = "", comma: str = "", depth: int = 0) -> Iterator[tuple[int, str]]:
    """The lines of one value, each with its depth."""
    if value.fits:
        yield depth, f"{lead}{value.text}{comma}"
        return
    yield depth, lead + value.brackets[0]
    children = list(value.children())
    for number, (before, child) in enumerate(children, start=1):
        yield from lines_of(child, before, "," if number < len(children) else "", depth + 1)
    yield depth, value.brackets[1] + comma


def _object(json_value: dict[str, Json], depth: int) -> Value:
    keys = {key: value_of(json_value[key], depth + 1) for key in canonical_keys(json_value.keys())}
    text = ", ".join(prefix(key) + value.text for key, value in keys.items())
    same = ", ".join(prefix(key) + value.same for key, value in keys.items())
    return Value(f"{{{text}}}", f"{{{same}}}", fits=not keys, keys=keys)


def _is_flat(listed: list[Json]) -> bool:
    """No object in it, and no steps (lists only): those stand one a line, as in a transformation's rules."""
    if len(listed) > 1 and all(isinstance(item, list) for item in listed):
        return False
    return not any(
        (isinstance(item, dict) and item) or (isinstance(item, list) and not _is_flat(item)) for item in listed
    )


def _readable(json_value: Json) -> str:
    """Its text as it is, unless some of its characters could not be seen or would turn the line around."""
    text = _encode(json_value)
    if text.isascii() or (is_plain(text) and not _TURNING.search(text)):
        return text
    return json.dumps(json_value, sort_keys=True)
