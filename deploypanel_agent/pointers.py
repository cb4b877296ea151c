"""JSON pointers (RFC 6901): the address of one value in a payload. `/commits/0/id`; empty for the whole."""

from __future__ import annotations

import re
from typing import Any

LONGEST = 500  # characters
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_BAD_ESCAPE = re.compile(r"~(?![01])")


class PointerError(ValueError):
    """A text is no pointer. `str` is a sentence without its full stop."""


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()  # what a pointer finds that leads nowhere: None is a value of JSON's


def pointer_read(text: object) -> list[str]:
    """The names on the way to the value. Raises PointerError."""
    if not isinstance(text, str):
        raise PointerError(f"a pointer is a text such as /ref, not {type(text).__name__}")
    if len(text) > LONGEST:
        raise PointerError(f"a pointer has at most {LONGEST} characters")
    if text and not text.startswith("/"):
        raise PointerError(f"{text[:80]!r} is no pointer: begin it with a slash, as in /{text[:80]}")
    if _BAD_ESCAPE.search(text):
        raise PointerError(f"{text[:80]!r} is no pointer: write ~0 for a ~, and ~1 for a / within a name")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def pointer_value(data: Any, pointer: str) -> Any:
    """What lies there, or MISSING. Raises PointerError."""
    for name in pointer_read(pointer):
        if isinstance(data, dict):
            data = data.get(name, MISSING)
        elif isinstance(data, list) and _INDEX.fullmatch(name) and int(name) < len(data):
            data = data[int(name)]
        else:
            return MISSING
    return data
