"""What calls of the old Prostagma protocol say, read as its server did: by Go's rules for JSON.

The first JSON value of the body counts, and what follows it is not looked at. Names of fields match in any case,
the last one of a name wins, an unknown one is ignored, and `null` leaves what was there. A text's broken
characters become U+FFFD, one for each byte.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from apps.triggers.errors import BadBody

BODY_MOST = 64 * 1024  # bytes; what is longer is refused before it is read
NAME_MOST = 150  # characters, as Trigger.name
FIELDS = ("secret", "trigger", "url")
BLANKS = re.compile(r"[ \t\n\r]*")
SURROGATE = re.compile("[\ud800-\udfff]")
# What Go's encoder writes otherwise than Python's, so that text can stand in a page.
ESCAPED = str.maketrans({letter: f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"})


@dataclass(frozen=True, slots=True)
class Call:
    """The fields of one call; what it does not say is empty."""

    secret: str = ""
    trigger: str = ""
    url: str = ""


class _Object(tuple):  # type: ignore[type-arg]  # of pairs
    """A JSON object as the pairs that stand in it, in order."""


def call_read(body: bytes) -> Call:
    """The call in a body. Raises BadBody where it is not JSON, or of wrong types."""
    text = body.decode("utf-8", "surrogateescape")
    blanks = BLANKS.match(text)
    try:
        found, _end = _DECODER.raw_decode(text, blanks.end() if blanks else 0)
    except (ValueError, RecursionError):
        raise BadBody("The body is not JSON.") from None
    if found is None:
        return Call()
    if not isinstance(found, _Object):
        raise BadBody("The body is JSON, but no object.")
    call = Call(**_fields(found))
    if len(call.trigger) > NAME_MOST or "\x00" in call.trigger:
        raise BadBody(f"A trigger's name has at most {NAME_MOST} characters, and no NUL.")
    return call


def _fields(pairs: _Object) -> dict[str, str]:
    fields: dict[str, str] = {}
    for key, value in pairs:
        name = _folded(key)
        if name not in FIELDS or value is None:
            continue
        if not isinstance(value, str):
            raise BadBody(f"The field “{name}” is no text.")
        fields[name] = SURROGATE.sub("\ufffd", value)
    return fields


def _folded(key: str) -> str:
    """As Go folds names: letter by letter, where the long s is an s too; no letter becomes two."""
    return key.replace("\u017f", "s").lower() if len(key) <= 7 else ""  # the longest field has seven letters


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Object,
    parse_constant=_refused,
    # Numbers are of no use here; read as such, very long ones would cost much.
    parse_int=lambda _digits: 0,
    parse_float=lambda _digits: 0.0,
)


def count_answer(name: str, count: int) -> bytes:
    """The body of `GET /trigger`, byte by byte as the old server wrote it."""
    quoted = json.dumps(name, ensure_ascii=False).translate(ESCAPED)
    return f'{{"trigger":{quoted},"count":{count}}}\n'.encode()
