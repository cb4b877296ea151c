"""The small language that decides by a firing's payload whether something is done. Pure, no evaluation of code.

A rule is a mapping with exactly one of:

    all: [rule, …]                 each of them holds
    any: [rule, …]                 at least one of them holds
    not: rule                      it does not hold
    equals: {pointer: value, …}    at each pointer lies just that value (1 is 1.0, but neither is true)
    matches: {pointer: pattern, …} at each pointer lies a text like that: `*` any characters, `?` one
    present: pointer, or a list    something lies at each, be it null

A pointer that leads nowhere makes `equals`, `matches` and `present` false. Used by the agent and by the panel; knows
neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from deploypanel_agent.patterns import LONGEST, text_matches
from deploypanel_agent.pointers import MISSING, PointerError, pointer_read, pointer_value

DEEPEST = 20  # rules within rules
MOST = 200  # rules and pointers in all
WORDS = ("all", "any", "not", "equals", "matches", "present")

Path = tuple[Any, ...]


class ConditionError(ValueError):
    """Something is no rule. `path` leads to the wrong part: keys and indexes from the outermost rule."""

    def __init__(self, message: str, path: Path = ()) -> None:
        super().__init__(message)
        self.message = message  # a sentence without its full stop
        self.path = path


def condition_checked(rule: Any) -> None:
    """Raises ConditionError unless `rule` is one of this language."""
    _Check().rule(rule, (), 1)


def condition_holds(rule: Any, payload: Any) -> bool:
    """Whether a checked rule holds for this payload."""
    ((word, what),) = rule.items()
    return _READS[word](what, payload)


def _equals(what: dict[str, Any], payload: Any) -> bool:
    return all(_same(pointer_value(payload, pointer), value) for pointer, value in what.items())


def _matches(what: dict[str, str], payload: Any) -> bool:
    found = [(pointer_value(payload, pointer), pattern) for pointer, pattern in what.items()]
    return all(isinstance(value, str) and text_matches(value, pattern) for value, pattern in found)


def _present(what: Any, payload: Any) -> bool:
    return all(pointer_value(payload, pointer) is not MISSING for pointer in _listed(what))


_READS: dict[str, Callable[[Any, Any], bool]] = {
    "all": lambda rules, payload: all(condition_holds(rule, payload) for rule in rules),
    "any": lambda rules, payload: any(condition_holds(rule, payload) for rule in rules),
    "not": lambda rule, payload: not condition_holds(rule, payload),
    "equals": _equals,
    "matches": _matches,
    "present": _present,
}


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1, which Python would say."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _listed(what: Any) -> list[Any]:
    return what if isinstance(what, list) else [what]


@dataclass
class _Check:
    """Walks through a rule and counts."""

    seen: int = 0

    def rule(self, rule: Any, path: Path, depth: int) -> None:
        self._count(path)
        if depth > DEEPEST:
            raise ConditionError(f"rules lie within rules at most {DEEPEST} deep", path)
        if not isinstance(rule, dict) or len(rule) != 1:
            raise ConditionError(f"a rule is a mapping with exactly one of {', '.join(WORDS)}", path)
        ((word, what),) = rule.items()
        within = (*path, word)
        if word in ("all", "any"):
            self._rules(what, within, depth)
        elif word == "not":
            self.rule(what, within, depth + 1)
        elif word in ("equals", "matches"):
            self._pairs(what, within)
        elif word == "present":
            self._pointers(_listed(what), within)
        else:
            raise ConditionError(f"no rule is called {str(word)[:40]!r}; there are {', '.join(WORDS)}", path)

    def _rules(self, what: Any, path: Path, depth: int) -> None:
        if not isinstance(what, list) or not what:
            raise ConditionError("give a list of one rule or more", path)
        for index, rule in enumerate(what):
            self.rule(rule, (*path, index), depth + 1)

    def _pairs(self, what: Any, path: Path) -> None:
        if not isinstance(what, dict) or not what:
            raise ConditionError("give a mapping from pointers to what lies there, as in {/ref: refs/heads/main}", path)
        self._pointers(list(what), path)
        for pointer, value in what.items():
            if path[-1] == "matches" and (not isinstance(value, str) or len(value) > LONGEST):
                message = f"{pointer[:80]} needs a pattern of at most {LONGEST} characters, in quotes"
                raise ConditionError(message, (*path, pointer))

    def _pointers(self, pointers: list[Any], path: Path) -> None:
        if not pointers:
            raise ConditionError("give a pointer, or a list of them", path)
        for pointer in pointers:
            self._count(path)
            try:
                pointer_read(pointer)
            except PointerError as error:
                raise ConditionError(str(error), path) from None

    def _count(self, path: Path) -> None:
        self.seen += 1
        if self.seen > MOST:
            raise ConditionError(f"a rule has at most {MOST} parts", path)
