"""The little language of `when`: whether a step is done, decided by the firing's payload. Pure, no evaluation of code.

One mapping with exactly one of

    all: [rule, …]            every one holds (also of none)
    any: [rule, …]            at least one holds
    not: rule
    equals: {pointer: value}  each pointer's value is this one, of the same JSON type
    matches: {pointer: glob}  each pointer's value is a text that the glob (`*`, `?`) covers whole
    present: pointer, or [pointer, …]

Pointers are those of RFC 6901: `` is the payload, `/build/0/name` a part of it.
"""

from __future__ import annotations

import re
from typing import Any, Callable

DEPTH_LIMIT = 20
RULE_LIMIT = 500  # rules, pointers and values in all
TEXT_LIMIT = 1000  # characters of a pointer or glob
WORDS = ("all", "any", "not", "equals", "matches", "present")
MISSING = object()

Path = tuple[Any, ...]


class ConditionError(ValueError):
    """A rule is not understood. `path` leads to the wrong part: keys and indexes from the outermost rule."""

    def __init__(self, message: str, path: Path = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


def condition_checked(rule: Any) -> None:
    """Raises ConditionError unless `rule` is one of this language."""
    _check(rule, (), [RULE_LIMIT])


def condition_holds(rule: Any, payload: Any) -> bool:
    """Whether a checked rule holds for this payload. A pointer that leads nowhere never equals and never matches."""
    ((word, body),) = rule.items()
    if word == "all":
        return all(condition_holds(part, payload) for part in body)
    if word == "any":
        return any(condition_holds(part, payload) for part in body)
    if word == "not":
        return not condition_holds(body, payload)
    if word == "present":
        pointers = body if isinstance(body, list) else [body]
        return all(pointed(payload, pointer) is not MISSING for pointer in pointers)
    test = _same if word == "equals" else _covers
    return all(test(wanted, pointed(payload, pointer)) for pointer, wanted in body.items())


def pointed(payload: Any, pointer: str) -> Any:
    """What the pointer leads to in the payload; MISSING when it leads nowhere."""
    found = payload
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and re.fullmatch(r"0|[1-9][0-9]{0,8}", key, re.ASCII) and int(key) < len(found):
            found = found[int(key)]
        else:
            return MISSING
    return found


def _check(rule: Any, path: Path, left: list[int]) -> None:
    if not isinstance(rule, dict) or len(rule) != 1:
        raise ConditionError(f"a rule is a mapping with exactly one of {', '.join(WORDS)}", path)
    if len(path) > 2 * DEPTH_LIMIT:
        raise ConditionError(f"rules are nested more than {DEPTH_LIMIT} deep", path)
    _count(left, path)
    ((word, body),) = rule.items()
    if word not in WORDS:
        raise ConditionError(f"“{str(word)[:40]}” is no rule; use one of {', '.join(WORDS)}", path)
    _CHECKS[word](body, (*path, word), left)


def _check_rules(body: Any, path: Path, left: list[int]) -> None:
    if not isinstance(body, list):
        raise ConditionError(f"“{path[-1]}” needs a list of rules", path)
    for index, part in enumerate(body):
        _check(part, (*path, index), left)


def _check_pointed(body: Any, path: Path, left: list[int]) -> None:
    if not isinstance(body, dict) or not body:
        raise ConditionError(f"“{path[-1]}” needs a mapping of a JSON pointer to a value, as in /branch: main", path)
    for pointer, wanted in body.items():
        _check_pointer(pointer, path, left)
        if path[-1] == "matches" and not (isinstance(wanted, str) and len(wanted) <= TEXT_LIMIT):
            raise ConditionError(
                f"a glob is a text of at most {TEXT_LIMIT} characters, as in release/*", (*path, pointer)
            )


def _check_present(body: Any, path: Path, left: list[int]) -> None:
    pointers = body if isinstance(body, list) else [body]
    if not pointers:
        raise ConditionError("“present” needs a JSON pointer or a list of them", path)
    for pointer in pointers:
        _check_pointer(pointer, path, left)


def _check_pointer(pointer: Any, path: Path, left: list[int]) -> None:
    _count(left, path)
    if not isinstance(pointer, str) or len(pointer) > TEXT_LIMIT:
        raise ConditionError(f"a JSON pointer is a text of at most {TEXT_LIMIT} characters", path)
    if (pointer and not pointer.startswith("/")) or re.search(r"~(?![01])", pointer):
        raise ConditionError(
            f"“{pointer[:60]}” is no JSON pointer: it begins with /, and ~ is written ~0, / in a name ~1", path
        )


def _count(left: list[int], path: Path) -> None:
    left[0] -= 1
    if left[0] < 0:
        raise ConditionError(f"more than {RULE_LIMIT} rules and pointers", path)


_CHECKS: dict[str, Callable[[Any, Path, list[int]], None]] = {
    "all": _check_rules,
    "any": _check_rules,
    "not": _check,
    "equals": _check_pointed,
    "matches": _check_pointed,
    "present": _check_present,
}


def _same(wanted: Any, found: Any) -> bool:
    """Equal as JSON: true is not 1, but 1 is 1.0."""
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    if isinstance(wanted, dict) and isinstance(found, dict):
        return wanted.keys() == found.keys() and all(_same(wanted[key], found[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(_same, wanted, found))
    return bool(wanted == found)


def _covers(glob: str, found: Any) -> bool:
    """Whether the whole text is covered; in time linear in both lengths multiplied, whatever the glob."""
    if not isinstance(found, str):
        return False
    at = back = 0  # in the glob, and where it goes back to
    text = mark = 0
    star = False
    while text < len(found):
        if at < len(glob) and glob[at] == "*":
            star, back, mark = True, at + 1, text
            at += 1
        elif at < len(glob) and glob[at] in ("?", found[text]):
            at, text = at + 1, text + 1
        elif star:
            mark += 1
            at, text = back, mark
        else:
            return False
    return glob[at:].strip("*") == ""
