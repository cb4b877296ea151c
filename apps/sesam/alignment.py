"""Which item of one list is which of another: equal ones first, then those that are most alike. No I/O.

The answer does not depend on which list is the older one, and it never takes long: where the exact answer would,
items are taken in turn, and the caller is told.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.sesam.json_layout import Value

Pair = tuple[int | None, int | None]
Match = tuple[int, int]

CELLS_MOST = 10_000  # of one table of old × new items
DEPTH_MOST = 8  # how often unique items are looked for between unique items


class Aligner:
    """Aligns lists. `by_index` becomes true when a pair of lists was too much for it."""

    def __init__(self, cells: int = 200_000) -> None:
        self.by_index = False
        self._cells = cells  # of all tables together

    def pairs(self, old: Sequence[Value], new: Sequence[Value]) -> list[Pair]:
        """(old, new) places in order; None on the side that has no such item. In a gap the removed come first."""
        olds, news = [item.same for item in old], [item.same for item in new]
        turned = olds > news  # so that both directions give the same answer
        found = self._matches(news, olds) if turned else self._matches(olds, news)
        if turned:
            found = [(one, other) for other, one in found]
        pairs: list[Pair] = []
        at = (0, 0)
        for match in [*found, (len(old), len(new))]:
            pairs += self._gap(old, new, at, match)
            pairs.append(match)
            at = (match[0] + 1, match[1] + 1)
        return pairs[:-1]

    def _matches(self, olds: list[str], news: list[str]) -> list[Match]:
        return self._between(olds, news, 0, len(olds), 0, len(news), 0)

    def _between(self, olds: list[str], news: list[str], a: int, b: int, c: int, d: int, depth: int) -> list[Match]:
        """Equal items of olds[a:b] and news[c:d], in order: the ends first, then unique items, then all."""
        head, tail = [], []
        while a < b and c < d and olds[a] == news[c]:
            head.append((a, c))
            a, c = a + 1, c + 1
        while a < b and c < d and olds[b - 1] == news[d - 1]:
            b, d = b - 1, d - 1
            tail.append((b, d))
        tail.reverse()
        if a == b or c == d:
            return head + tail
        anchors = _unique(olds[a:b], news[c:d]) if depth < DEPTH_MOST else []
        if not anchors:
            return head + self._table(olds[a:b], news[c:d], a, c) + tail
        middle, left, right = [], a, c
        for one, other in anchors:
            middle += self._between(olds, news, left, a + one, right, c + other, depth + 1)
            middle.append((a + one, c + other))
            left, right = a + one + 1, c + other + 1
        return head + middle + self._between(olds, news, left, b, right, d, depth + 1) + tail

    def _table(self, olds: list[str], news: list[str], a: int, c: int) -> list[Match]:
        """The longest common part, by a table; nothing where nothing is common or the table would be too large."""
        if set(olds).isdisjoint(news):
            return []
        if not self._affords(len(olds) * len(news)):
            self.by_index = True
            return [(a + at, c + at) for at, (one, other) in enumerate(zip(olds, news, strict=False)) if one == other]
        scores = [[int(one == other) for other in news] for one in olds]
        return [(a + one, c + other) for one, other in _best(scores)]

    def _affords(self, cells: int) -> bool:
        if cells > min(CELLS_MOST, self._cells):
            return False
        self._cells -= cells
        return True

    def _gap(self, old: Sequence[Value], new: Sequence[Value], start: Match, end: Match) -> list[Pair]:
        """Items without an equal one: those that are alike stand beside each other."""
        olds, news = old[start[0] : end[0]], new[start[1] : end[1]]
        alike = self._alike(olds, news) if olds and news else []
        pairs: list[Pair] = []
        left, right = 0, 0
        for one, other in [*alike, (len(olds), len(news))]:
            pairs += [(start[0] + at, None) for at in range(left, one)]
            pairs += [(None, start[1] + at) for at in range(right, other)]
            pairs.append((start[0] + one, start[1] + other))
            left, right = one + 1, other + 1
        return pairs[:-1]

    def _alike(self, olds: Sequence[Value], news: Sequence[Value]) -> list[Match]:
        if len(olds) == len(news) == 1:
            return [(0, 0)] if olds[0].is_open == news[0].is_open else []
        if not self._affords(len(olds) * len(news)):
            self.by_index = True
            return [(at, at) for at in range(min(len(olds), len(news)))]
        if [item.same for item in olds] > [item.same for item in news]:
            return [(one, other) for other, one in _best([[likeness(n, o) for o in olds] for n in news])]
        return _best([[likeness(o, n) for n in news] for o in olds])


def likeness(one: Value, other: Value) -> int:
    """How much two values that differ have in common: 0, nothing that a reader would notice."""
    if one.items is not None and other.items is not None:
        return _list_likeness(one.items, other.items)
    if one.keys is not None and other.keys is not None:
        return _object_likeness(one.keys, other.keys)
    if one.is_open or other.is_open:
        return 0
    half = max(len(one.text), len(other.text)) // 2 + 1
    return 2 if one.text[:half] == other.text[:half] else 0


def _list_likeness(one: Sequence[Value], other: Sequence[Value]) -> int:
    """By how they begin: in DTL, the function and the property it is about."""
    begin = 0
    for left, right in zip(one[:4], other[:4], strict=False):
        if left.same != right.same:
            break
        begin += 1
    return (0, 1, 4, 5, 6)[begin]


def _object_likeness(one: dict[str, Value], other: dict[str, Value]) -> int:
    for key in ("_id", "id", "name"):
        if key in one and key in other:
            return 6 if one[key].same == other[key].same else 0
    shared = one.keys() & other.keys()
    equal = sum(one[key].same == other[key].same for key in shared)
    return min(5, 2 * equal) if equal else int(bool(shared))


def _unique(olds: list[str], news: list[str]) -> list[Match]:
    """Items that are there once on each side, as many as keep their order."""
    old_counts, new_counts = Counter(olds), Counter(news)
    places = {text: at for at, text in enumerate(news) if new_counts[text] == 1}
    common = [(at, places[text]) for at, text in enumerate(olds) if old_counts[text] == 1 and text in places]
    return _ascending(common)


def _ascending(matches: list[Match]) -> list[Match]:
    """The longest part whose second places ascend too."""
    ends: list[int] = []  # the smallest last place of a part of that length
    tails: list[int] = []  # where in `matches` it ends
    before: list[int] = []
    for number, (_, place) in enumerate(matches):
        length = bisect_left(ends, place)
        before.append(tails[length - 1] if length else -1)
        if length == len(ends):
            ends.append(place)
            tails.append(number)
        else:
            ends[length], tails[length] = place, number
    found = []
    at = tails[-1] if tails else -1
    while at >= 0:
        found.append(matches[at])
        at = before[at]
    return found[::-1]


def _best(scores: list[list[int]]) -> list[Match]:
    """The pairs, ascending on both sides, whose scores add up to the most."""
    rows, columns = len(scores), len(scores[0])
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows - 1, -1, -1):
        line, below, given = best[row], best[row + 1], scores[row]
        for column in range(columns - 1, -1, -1):
            taken = below[column + 1] + given[column] if given[column] else 0
            line[column] = max(below[column], line[column + 1], taken)
    found, row, column = [], 0, 0
    while row < rows and column < columns:
        score = scores[row][column]
        if score and best[row][column] == best[row + 1][column + 1] + score:
            found.append((row, column))
            row, column = row + 1, column + 1
        elif best[row][column] == best[row + 1][column]:
            row += 1
        else:
            column += 1
    return found
