"""Rules on payloads, and the pointers in them, with errors of the panel. The language is the agents' own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from apps.access.errors import InputError
from deploypanel_agent import pointers
from deploypanel_agent.condition import WORDS, ConditionError, condition_checked, condition_holds

if TYPE_CHECKING:
    from deploypanel_agent.condition import Path

LARGEST = 16 * 1024  # characters as JSON: it is stored


def rule_checked(data: Any) -> None:
    """Raises InputError, with the place in the rule, unless it is a rule."""
    try:
        condition_checked(data)
    except ConditionError as error:
        raise InputError(f"{error.message}.", _place(error.path)) from None
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
    return condition_holds(rule, payload)


def pointer_checked(pointer: object) -> None:
    """Raises InputError for what is no pointer."""
    try:
        pointers.pointer_read(pointer)
    except pointers.PointerError as error:
        raise InputError(f"{error}.") from None


def pointer_value(data: Any, pointer: str) -> Any:
    """What lies there, or MISSING. Raises InputError for what is no pointer."""
    pointer_checked(pointer)
    return pointers.pointer_value(data, pointer)


def _place(path: Path) -> str:
    """`all[2].not.any[1]`: people count from one. The message itself names the pointer behind `matches`."""
    place = ""
    for step in path:
        if isinstance(step, int):
            place += f"[{step + 1}]"
        elif step in WORDS:
            place += f".{step}" if place else step
    return place
