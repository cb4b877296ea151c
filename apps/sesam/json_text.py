"""JSON as people and nodes mean it: strict when read, one text for equal values. No I/O.

Equal: numbers by value (`1` is `1.0`), a boolean is never a number, the order of keys never
matters, the order of lists does.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from apps.sesam.errors import JsonProblem
from apps.sesam.json_places import DEEPEST, fault_place, place
from apps.sesam.words import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from apps.sesam.configuration import Json

MOST_VALUES = 4_000_000  # in what is read together: a few bytes of text can take fifty in memory
_FIRST = ("_id", "type")  # keys that people look for first
_COMPACT = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


class _Fault(ValueError):
    """Legal for Python's parser, but not JSON that means one thing."""


def is_overfull(contents: Collection[bytes]) -> bool:
    """Whether texts have too many values to be held in memory, together."""
    if sum(map(len, contents)) <= MOST_VALUES:
        return False
    return sum(one.count(b",") + one.count(b"[") + one.count(b"{") for one in contents) > MOST_VALUES


def json_read(data: bytes, file: str) -> Json:
    """Parse a file's bytes. Raises JsonProblem, which has line and column."""
    if is_overfull([data]):
        raise JsonProblem(file, f"This has more than {MOST_VALUES:,} values; the panel does not read as many.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = place(data[: error.start].decode("utf-8-sig", "replace"))
        raise JsonProblem(file, "This is not UTF-8 text.", line, column) from None
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer
        )
    except json.JSONDecodeError as error:
        raise JsonProblem(file, f"This is not JSON: {error.msg}.", error.lineno, error.colno) from None
    except (_Fault, RecursionError):
        raise JsonProblem(file, *fault_place(text)) from None
    # Depth can only be too much where there are that many brackets: the cheap look first.
    if text.count("[") + text.count("{") > DEEPEST and _is_deep(value):
        raise JsonProblem(file, *fault_place(text))
    return value


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Fault
    return found


def _constant(_word: str) -> Json:
    raise _Fault


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _Fault
    return number


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # more digits than Python converts
        raise _Fault from None


def _is_deep(value: Json) -> bool:
    """Whether more lists and objects than allowed lie in each other. Level by level, so no depth is too much for it."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return any(isinstance(one, (dict, list)) for one in level)


def same(one: Json, other: Json) -> bool:
    """Whether two values are equal as JSON. Not recursive: no depth is too much for it."""
    pairs = [(one, other)]
    while pairs:
        inner = _inner(*pairs.pop())
        if inner is None:
            return False
        for pair in inner:
            # Most of what there is, is text: not worth a round of its own.
            if type(pair[0]) is not str:
                pairs.append(pair)
            elif pair[0] != pair[1]:
                return False
    return True


def _inner(one: Json, other: Json) -> Iterable[tuple[Json, Json]] | None:
    """What remains to be compared of two values; None: they differ already."""
    if isinstance(one, dict):
        alike = isinstance(other, dict) and one.keys() == other.keys()
        return [(value, other[key]) for key, value in one.items()] if alike else None
    if isinstance(one, list):
        return zip(one, other, strict=True) if isinstance(other, list) and len(one) == len(other) else None
    if isinstance(one, bool) or isinstance(other, bool):
        return () if one is other else None
    return () if one == other else None


def canonical(value: Json) -> str:
    """One text for all values that are the same: keys sorted, compact, ASCII."""
    text = _COMPACT.encode(value)
    # Whole floats are written 1.0 or 1e+16; where there are none, there is nothing to even out.
    if ".0" not in text and "e+" not in text:
        return text
    return _COMPACT.encode(json.loads(text, parse_float=_whole))  # faster than to walk the value


def pretty(value: Json) -> str:
    """One readable text for all values that are the same: `_id`, `type`, then by key; two spaces."""
    text = json.dumps(_ordered(_even(value)), indent=2, ensure_ascii=False)
    return text if shown(text, keep="\n") == text else json.dumps(_ordered(_even(value)), indent=2)


def _whole(digits: str) -> float:
    number = float(digits)
    return int(number) if number.is_integer() else number


def _even(value: Json) -> Json:
    """Whole numbers as integers."""
    if isinstance(value, dict):
        return {key: _even(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_even(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _ordered(value: Json) -> Json:
    if isinstance(value, dict):
        keys = [key for key in _FIRST if key in value] + sorted(value.keys() - set(_FIRST))
        return {key: _ordered(value[key]) for key in keys}
    return [_ordered(one) for one in value] if isinstance(value, list) else value
