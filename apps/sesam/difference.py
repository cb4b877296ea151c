"""What lies between two JSON values, line beside line, as their structure says: never as text. No I/O.

Keys stand in canonical order, so their order never shows; lists are aligned by what their items are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from apps.sesam.alignment import Aligner
from apps.sesam.json_layout import Value, canonical_keys, lines_of, prefix, value_of
from apps.sesam.marks import Marker, Parts, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from apps.sesam.configuration import Json

ROWS_MOST = 20_000
CONTEXT = 3  # equal lines that are shown around those that differ
BY_INDEX = "A list is too long to find out what moved; its items are compared in turn."

SAME, CHANGED, ADDED, REMOVED = "same", "changed", "added", "removed"


class Cell(NamedTuple):
    """A line of one side: its number from 1, its depth, and its text in parts that differ or not."""

    number: int
    depth: int
    parts: Parts

    @property
    def text(self) -> str:
        return "  " * self.depth + "".join(text for text, _ in self.parts)


class Row(NamedTuple):
    """A line of the left side, of the right side, or both. `kind`: same, changed, added or removed."""

    kind: str
    left: Cell | None
    right: Cell | None


class Section(NamedTuple):
    """Rows that stand together. `folded`: they are all the same, and far from what differs."""

    rows: Sequence[Row]
    folded: bool


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Rows in order. `left_out` lines more there are; `notes` say what was not looked at as closely as usual."""

    rows: tuple[Row, ...]
    left_out: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.left_out and all(row.kind == SAME for row in self.rows)

    def count(self, *kinds: str) -> int:
        return sum(row.kind in kinds for row in self.rows)

    @property
    def added(self) -> int:
        """Lines that the right side has and the left has not, or has otherwise."""
        return self.count(ADDED, CHANGED)

    @property
    def removed(self) -> int:
        return self.count(REMOVED, CHANGED)

    def sections(self, context: int = CONTEXT) -> list[Section]:
        """The rows, with each long run of equal ones as a section of its own."""
        return _sections(self.rows, context)


def difference(before: Json | None, after: Json | None, *, rows_most: int = ROWS_MOST) -> Difference:
    """What lies between two values. None: that side is not there at all."""
    writer = _Writer(rows_most)
    left = None if before is None else value_of(before)
    right = None if after is None else value_of(after)
    if left is not None and right is not None:
        writer.both(left, right, "", ("", ""), 0)
    elif left is not None:
        writer.alone(REMOVED, left, "", "", 0)
    elif right is not None:
        writer.alone(ADDED, right, "", "", 0)
    notes = (BY_INDEX,) if writer.aligner.by_index else ()
    return Difference(rows=tuple(writer.rows), left_out=writer.left_out, notes=notes)


class _Writer:
    """Writes rows while it walks both trees at once."""

    def __init__(self, rows_most: int) -> None:
        self.rows: list[Row] = []
        self.left_out = 0
        self.aligner = Aligner()
        self._marker = Marker()
        self._most = rows_most
        self._left = 0  # line numbers
        self._right = 0

    def both(self, left: Value, right: Value, lead: str, commas: tuple[str, str], depth: int) -> None:
        """Both sides have this value, equal or not."""
        if left.fits and right.fits:
            self._line(left, right, lead, commas, depth)
        elif left.is_open and right.is_open and left.brackets == right.brackets:
            opening, closing = lead + left.brackets[0], left.brackets[1]
            self._add(SAME, ((opening, False),), ((opening, False),), depth)
            self._children(left, right, depth + 1)
            self._add(SAME, ((closing + commas[0], False),), ((closing + commas[1], False),), depth)
        else:
            self.alone(REMOVED, left, lead, commas[0], depth)
            self.alone(ADDED, right, lead, commas[1], depth)

    def alone(self, kind: str, value: Value, lead: str, comma: str, depth: int) -> None:
        """Only one side has this value."""
        for deep, text in lines_of(value, lead, comma, depth):
            parts: Parts = ((text, False),)
            self._add(kind, parts if kind == REMOVED else None, parts if kind == ADDED else None, deep)

    def _line(self, left: Value, right: Value, lead: str, commas: tuple[str, str], depth: int) -> None:
        if left.same == right.same:
            old, new = lead + left.text + commas[0], lead + right.text + commas[1]
            self._add(SAME, ((old, False),), ((new, False),), depth)
            return
        old_parts, new_parts = self._marker.marked(left.text, right.text)
        self._add(CHANGED, _framed(lead, old_parts, commas[0]), _framed(lead, new_parts, commas[1]), depth)

    def _children(self, left: Value, right: Value, depth: int) -> None:
        lasts = left.size - 1, right.size - 1
        for lead, old, new, places in self._pairs(left, right):
            commas = ["," if place < last else "" for place, last in zip(places, lasts, strict=True)]
            if old is not None and new is not None:
                self.both(old, new, lead, (commas[0], commas[1]), depth)
            elif old is not None:
                self.alone(REMOVED, old, lead, commas[0], depth)
            elif new is not None:
                self.alone(ADDED, new, lead, commas[1], depth)

    def _pairs(self, left: Value, right: Value) -> Iterable[tuple[str, Value | None, Value | None, tuple[int, int]]]:
        """What stands beside what, with its key, and where each side has it (0 where it has not)."""
        if left.keys is not None and right.keys is not None:
            places = [{key: at for at, key in enumerate(side)} for side in (left.keys, right.keys)]
            for key in canonical_keys(left.keys.keys() | right.keys.keys()):
                at = places[0].get(key, 0), places[1].get(key, 0)
                yield prefix(key), left.keys.get(key), right.keys.get(key), at
            return
        olds, news = left.items or (), right.items or ()
        for one, other in self.aligner.pairs(olds, news):
            old = None if one is None else olds[one]
            new = None if other is None else news[other]
            yield "", old, new, (one or 0, other or 0)

    def _add(self, kind: str, left: Parts | None, right: Parts | None, depth: int) -> None:
        if len(self.rows) >= self._most:
            self.left_out += 1
            return
        old = new = None
        if left is not None:
            self._left += 1
            old = Cell(self._left, depth, left)
        if right is not None:
            self._right += 1
            new = Cell(self._right, depth, right)
        self.rows.append(Row(kind, old, new))


def _framed(lead: str, parts: Parts, comma: str) -> Parts:
    """The value's parts between its key and its comma, which never differ."""
    return joined(((lead, False), *parts, (comma, False)))


def _sections(rows: Sequence[Row], context: int) -> list[Section]:
    shown: list[Section] = []
    start = 0
    for begin, end in _folds(rows, context):
        if begin > start:
            shown.append(Section(rows[start:begin], folded=False))
        shown.append(Section(rows[begin:end], folded=True))
        start = end
    if start < len(rows):
        shown.append(Section(rows[start:], folded=False))
    return shown


def _folds(rows: Sequence[Row], context: int) -> list[tuple[int, int]]:
    """Runs of equal rows that are worth folding, less what is shown around what differs."""
    differing = [at for at, row in enumerate(rows) if row.kind != SAME]
    folds = []
    for one, other in zip([None, *differing], [*differing, None], strict=True):
        begin = 0 if one is None else one + 1 + context
        end = len(rows) if other is None else other - context
        if end - begin > 1:  # to fold a single line would save nothing
            folds.append((begin, end))
    return folds
