"""What a firing may bring along: JSON of a size and shape that every database of the panel stores."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from apps.access.errors import InputError

LARGEST = 64 * 1024  # bytes as JSON
LONGEST = 8 * LARGEST  # characters as it is given: blanks do not count, what is stored is measured
DEEPEST = 100  # values within values


def payload_checked(payload: Any) -> str:
    """The payload as compact JSON; raises InputError for what cannot be kept."""
    _depth_checked(payload)
    try:
        text = json.dumps(payload, allow_nan=False, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError) as error:  # also numbers without end, and halves of characters
        raise InputError(f"The payload cannot be written as JSON: {error}"[:300], "payload") from None
    if size > LARGEST:
        raise InputError(f"The payload has {size} bytes as JSON; at most {LARGEST // 1024} KiB are kept.", "payload")
    if "\\u0000" in text and _has_nul(payload):
        raise InputError("The payload has a NUL character, which cannot be stored: leave it out.", "payload")
    return text


def payload_read(given: str | bytes) -> Any:
    """The JSON value that a person, a program or a file gives; None for nothing at all.

    Raises InputError, where it cannot be read with line and column.
    """
    if len(given) > LONGEST:
        raise InputError(f"The payload is too long: at most {LARGEST // 1024} KiB are kept.", "payload")
    try:
        text = given if isinstance(given, str) else given.decode()
        payload = json.loads(text, parse_constant=_refused) if text.strip() else None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"The payload is no JSON: {error.msg} at {where}.", "payload") from None
    except UnicodeDecodeError:
        raise InputError("The payload is not UTF-8: send a JSON value, or nothing.", "payload") from None
    except RecursionError:
        raise InputError(f"The payload has values within values more than {DEEPEST} deep.", "payload") from None
    except ValueError:  # all that is left: Python makes no number of them
        raise InputError("The payload has a number of thousands of digits, which cannot be kept.", "payload") from None
    payload_checked(payload)
    return payload


def _refused(name: str) -> Any:
    raise InputError(f"The payload cannot be kept: {name} is no JSON.", "payload")


def digest_of(*parts: str) -> str:
    """By which a request that comes again is known."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _depth_checked(payload: Any) -> None:
    level, depth = [payload], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise InputError(f"The payload has values within values more than {DEEPEST} deep.", "payload")
        level = [inner for value in level for inner in _inner(value)]


def _inner(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _has_nul(value: Any) -> bool:
    """`\\u0000` as text may also be a backslash and letters: only the value itself tells."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))
