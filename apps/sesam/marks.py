"""Which words of a line differ from those of the line beside it. No I/O."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Part = tuple[str, bool]  # some text, and whether it differs
Parts = tuple[Part, ...]

_WORDS = re.compile(r"\w+|\s+|.", re.DOTALL)
WORDS_MOST = 300  # of a line; longer ones: what lies between the common beginning and end
CHARACTERS_MOST = 50_000  # of a line; longer ones are not even taken apart into words
LIKE_LEAST = 0.3  # below, single common words would only confuse


class Marker:
    """Marks pairs of lines. `budget`: words to compare in all; beyond it, beginnings and ends are compared."""

    def __init__(self, budget: int = 60_000) -> None:
        self._budget = budget

    def marked(self, old: str, new: str) -> tuple[Parts, Parts]:
        """The parts of both; put together again they are the lines. Swapped input gives swapped parts."""
        if old == new:
            return joined([(old, False)]), joined([(new, False)])
        if old > new:
            right, left = self.marked(new, old)
            return left, right
        if max(len(old), len(new)) > CHARACTERS_MOST:
            return _roughly(old, new)
        olds, news = _WORDS.findall(old), _WORDS.findall(new)
        start, end = _ends(olds, news)
        middle_old, middle_new = olds[start : len(olds) - end], news[start : len(news) - end]
        inner = self._inner(middle_old, middle_new)
        head, tail = ("".join(olds[:start]), False), ("".join(olds[len(olds) - end :]), False)
        return joined([head, *inner[0], tail]), joined([head, *inner[1], tail])

    def _inner(self, olds: list[str], news: list[str]) -> tuple[list[Part], list[Part]]:
        words = len(olds) + len(news)
        whole = [("".join(olds), True)], [("".join(news), True)]
        if not olds or not news or max(len(olds), len(news)) > WORDS_MOST or words > self._budget:
            return whole
        self._budget -= words
        matcher = SequenceMatcher(None, olds, news, autojunk=False)
        kept = sum(len("".join(olds[a : a + size])) for a, _, size in matcher.get_matching_blocks())
        if kept < LIKE_LEAST * min(len(whole[0][0][0]), len(whole[1][0][0])):
            return whole
        left: list[Part] = []
        right: list[Part] = []
        for tag, a, b, c, d in matcher.get_opcodes():
            left.append(("".join(olds[a:b]), tag != "equal"))
            right.append(("".join(news[c:d]), tag != "equal"))
        return left, right


def _ends(olds: list[str], news: list[str]) -> tuple[int, int]:
    """How many words both begin with, and how many of the others both end with."""
    most = min(len(olds), len(news))
    start = 0
    while start < most and olds[start] == news[start]:
        start += 1
    end = 0
    while end < most - start and olds[-1 - end] == news[-1 - end]:
        end += 1
    return start, end


def _roughly(old: str, new: str) -> tuple[Parts, Parts]:
    """All between the characters that both begin with and those that both end with."""
    start = _shared(old, new)
    old_rest, new_rest = old[start:], new[start:]
    end = _shared(old_rest[::-1], new_rest[::-1])
    tail = old_rest[len(old_rest) - end :]
    middles = (rest[: len(rest) - end] for rest in (old_rest, new_rest))
    left, right = (joined([(old[:start], False), (middle, True), (tail, False)]) for middle in middles)
    return left, right


def _shared(one: str, other: str) -> int:
    """How many characters both begin with: by halving, since comparing slices is what Python does fastest."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def joined(parts: Iterable[Part]) -> Parts:
    """Without empty ones, and neighbours of one kind put together."""
    found: list[Part] = []
    for text, differs in parts:
        if not text:
            continue
        if found and found[-1][1] == differs:
            found[-1] = (found[-1][0] + text, differs)
        else:
            found.append((text, differs))
    return tuple(found)
