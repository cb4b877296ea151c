"""JSON pointers (RFC 6901): the address of one value in a payload. `/commits/0/id`; empty for the whole."""

from __future__ import annotations

import re
from typing import Any, Final

from apps.access.errors import InputError

LONGEST = 500  # characters
_INDEX = re.compile(r"\A(0|[1-9][0-9]{0,8})\Z")
_BAD_ESCAPE = re.compile(r"~(?![01])")


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()  # what a pointer finds that leads nowhere: None is a value of JSON's


def pointer_read(text: object, place: str = "") -> list[str]:
    """The names on the way to the value; raises InputError, which tells `place`, for what is no pointer."""
    if not isinstance(text, str):
        raise InputError(f"a pointer is a text such as /ref, not {type(text).__name__}.", place)
    if len(text) > LONGEST:
        raise InputError(f"a pointer has at most {LONGEST} characters.", place)
    if text and not text.startswith("/"):
        raise InputError(f"{text[:80]!r} is no pointer: begin it with a slash, as in /{text[:80]}.", place)
    if _BAD_ESCAPE.search(text):
        raise InputError(f"{text[:80]!r} is no pointer: write ~0 for a ~, and ~1 for a / within a name.", place)
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def pointer_value(data: Any, pointer: str) -> Any:
    """What lies there, or MISSING. Raises InputError for what is no pointer."""
    for name in pointer_read(pointer):
        if isinstance(data, dict):
            data = data.get(name, MISSING)
        elif isinstance(data, list) and _INDEX.match(name) and int(name) < len(data):
            data = data[int(name)]
        else:
            return MISSING
    return data
