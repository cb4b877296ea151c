"""The small language that decides on a payload what a firing does.

A rule is a mapping with exactly one of:

    all: [rule, …]                 each of them holds
    any: [rule, …]                 at least one of them holds
    not: rule                      it does not hold
    equals: {pointer: value, …}    at each pointer lies just that value (1 is 1.0, but neither is true)
    matches: {pointer: glob, …}    at each pointer lies a text like that: `*` any characters, `?` one
    present: pointer, or a list    something lies at each, be it null

A pointer that leads nowhere makes `equals`, `matches` and `present` false.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.access.errors import InputError
from apps.triggers.globs import LONGEST, text_matches
from apps.triggers.pointers import MISSING, pointer_read, pointer_value

if TYPE_CHECKING:
    from collections.abc import Callable

DEEPEST = 20  # rules within rules
MOST = 200  # rules and pointers in all
LARGEST = 16 * 1024  # characters as JSON
WORDS = ("all", "any", "not", "equals", "matches", "present")


def rule_checked(data: Any) -> None:
    """Raises InputError, with the place in the rule, unless it is a rule."""
    _Check().rule(data, "", 1)
    try:
        size = len(json.dumps(data, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise InputError("a rule compares with JSON's values only: texts, numbers, true, false, null.") from None
    if size > LARGEST:
        raise InputError(f"a rule has at most {LARGEST} characters.")


def rule_holds(rule: Any, payload: Any) -> bool:
    """Whether the payload is as the rule says; without a rule (None), always. Raises InputError for what is no rule."""
    if rule is None:
        return True
    rule_checked(rule)
    return _holds(rule, payload)


def _holds(rule: dict[str, Any], payload: Any) -> bool:
    ((word, what),) = rule.items()
    return _READS[word](what, payload)


def _present(what: Any, payload: Any) -> bool:
    pointers = [what] if isinstance(what, str) else what
    return all(pointer_value(payload, pointer) is not MISSING for pointer in pointers)


def _matches(what: dict[str, str], payload: Any) -> bool:
    found = [(pointer_value(payload, pointer), glob) for pointer, glob in what.items()]
    return all(isinstance(value, str) and text_matches(value, glob) for value, glob in found)


_READS: dict[str, Callable[[Any, Any], bool]] = {
    "all": lambda rules, payload: all(_holds(rule, payload) for rule in rules),
    "any": lambda rules, payload: any(_holds(rule, payload) for rule in rules),
    "not": lambda rule, payload: not _holds(rule, payload),
    "equals": lambda what, payload: all(same(pointer_value(payload, at), value) for at, value in what.items()),
    "matches": _matches,
    "present": _present,
}


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1, which Python would say."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


@dataclass
class _Check:
    """Walks through a rule and counts."""

    seen: int = 0

    def rule(self, data: Any, place: str, depth: int) -> None:
        self._count(place)
        if depth > DEEPEST:
            raise InputError(f"rules lie within rules at most {DEEPEST} deep.", place)
        if not isinstance(data, dict) or len(data) != 1:
            raise InputError(f"a rule is a mapping with exactly one of {', '.join(WORDS)}.", place)
        ((word, what),) = data.items()
        place = f"{place}.{word}" if place else str(word)
        if word in {"all", "any"}:
            self._rules(what, place, depth)
        elif word == "not":
            self.rule(what, place, depth + 1)
        elif word in {"equals", "matches"}:
            self._pairs(what, place, are_globs=word == "matches")
        elif word == "present":
            self._pointers(what, place)
        else:
            raise InputError(f"no rule is called {str(word)[:40]!r}; there are {', '.join(WORDS)}.", place)

    def _rules(self, what: Any, place: str, depth: int) -> None:
        if not isinstance(what, list) or not what:
            raise InputError("give a list of one rule or more.", place)
        for number, rule in enumerate(what, start=1):
            self.rule(rule, f"{place}[{number}]", depth + 1)

    def _pairs(self, what: Any, place: str, *, are_globs: bool) -> None:
        if not isinstance(what, dict) or not what:
            raise InputError("give a mapping from pointers to what lies there, as in {/ref: refs/heads/main}.", place)
        for pointer, value in what.items():
            self._count(place)
            pointer_read(pointer, place)
            if are_globs and (not isinstance(value, str) or len(value) > LONGEST):
                raise InputError(f"{pointer} needs a pattern of at most {LONGEST} characters, in quotes.", place)

    def _pointers(self, what: Any, place: str) -> None:
        pointers = what if isinstance(what, list) else [what]
        if not pointers:
            raise InputError("give a pointer, or a list of them.", place)
        for pointer in pointers:
            self._count(place)
            pointer_read(pointer, place)

    def _count(self, place: str) -> None:
        self.seen += 1
        if self.seen > MOST:
            raise InputError(f"a rule has at most {MOST} parts.", place)
