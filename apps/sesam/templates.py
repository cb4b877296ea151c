"""Templates of replica pipes and systems: placeholders in parsed JSON, filled from the pipes on both sides. No I/O.

`##REPLACE_ID##`                     the inbound pipe's `_id`; in a template of systems, the other node's name
`##INBOUND_PARENT_PIPE.a.b##`        the value at that path of the pipe that produces the data
`##OUTBOUND_PARENT_PIPE.a.b##`       … of the pipe that consumes it

A string that is one placeholder and nothing else becomes the value with its own type; inside a longer string,
and in keys, a value is written as text (what is no string as JSON). A number in a path counts a list's items from 0.
What was put in is never looked at for placeholders again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apps.sesam.configuration import Json

# No blank at either end, so that `## a heading ##` in a comment is none.
_PLACEHOLDER = re.compile(r"##(?=[^\s#])([^#]*[^\s#])##|##([^\s#])##")
_UNCLOSED = re.compile(r"(?<!#)#*+(?:REPLACE_ID|(?:INBOUND|OUTBOUND)_PARENT_PIPE)[^\s#]*#*")
_NOTHING = object()
ROOM = 64 << 20  # characters: as much as a node's whole configuration may have
MOST_UNFOUND = 1000  # in one filling; nobody reads more


class Overfull(Exception):
    """What a template makes is more than its caller has room for, or its faults more than anybody reads."""


@dataclass(frozen=True, kw_only=True)
class Parents:
    """What a template is filled from. A pipe is None where the template has no such side."""

    id: str  # what ##REPLACE_ID## becomes
    inbound: Mapping[str, Json] | None = None
    outbound: Mapping[str, Json] | None = None


@dataclass(frozen=True, kw_only=True)
class Unfound:
    """A placeholder that found nothing, and why. The sentence names the pipe."""

    placeholder: str
    why: str


@dataclass(kw_only=True)
class Filled:
    """A template's value with its placeholders filled; those in `unfound` are left as they were."""

    value: Json = None
    unfound: list[Unfound] = field(default_factory=list)
    uses_outbound: bool = False
    room: int = ROOM

    def miss(self, placeholder: str, why: str) -> None:
        self.unfound.append(Unfound(placeholder=placeholder, why=why))
        if len(self.unfound) > MOST_UNFOUND:
            raise Overfull

    def take(self, value: Json) -> None:
        """Count what a placeholder became: a few of them can stand for masses."""
        self.room -= len(value) if isinstance(value, str) else len(_text(value))
        if self.room < 0:
            raise Overfull


def template_fill(template: Json, parents: Parents, *, room: int = ROOM) -> Filled:
    """Fill every string and every key of a template, however deep.

    Raises Overfull when the values that were put in are longer than `room` characters together.
    """
    filled = Filled(room=room)
    filled.value = _fill(template, parents, filled)
    return filled


def _fill(value: Json, parents: Parents, filled: Filled) -> Json:
    if isinstance(value, str):
        return _fill_text(value, parents, filled) if "#" in value else value
    if isinstance(value, Mapping):
        return _fill_object(value, parents, filled)
    if isinstance(value, list):
        return [_fill(item, parents, filled) for item in value]
    return value


def _fill_object(value: Mapping[str, Json], parents: Parents, filled: Filled) -> dict[str, Json]:
    result: dict[str, Json] = {}
    for key, item in value.items():
        name = _text(_fill_text(key, parents, filled)) if "#" in key else key
        if name in result:
            filled.miss(key, f"the key “{name}” is there already")
        result[name] = _fill(item, parents, filled)
    return result


def _fill_text(text: str, parents: Parents, filled: Filled) -> Json:
    whole = _PLACEHOLDER.fullmatch(text)
    if whole:
        found = _value(whole, parents, filled)
        return text if found is _NOTHING else found
    pieces, at = [], 0
    for match in _PLACEHOLDER.finditer(text):
        found = _value(match, parents, filled)
        pieces += [_literal(text[at : match.start()], filled), match[0] if found is _NOTHING else _text(found)]
        at = match.end()
    return "".join([*pieces, _literal(text[at:], filled)])


def _literal(text: str, filled: Filled) -> str:
    """What is between placeholders: one that was not closed or is misspelt would be uploaded as it stands."""
    for match in _UNCLOSED.finditer(text):
        if "#" in match[0]:
            filled.miss(match[0], "a placeholder is written ##NAME##")
    return text


def _value(match: re.Match[str], parents: Parents, filled: Filled) -> Json:
    name, _, path = (match[1] or match[2]).partition(".")
    if name == "REPLACE_ID" and not path:
        return parents.id
    filled.uses_outbound = filled.uses_outbound or name == "OUTBOUND_PARENT_PIPE"
    found, why = _looked_up(name, path, parents)
    if why:
        filled.miss(match[0], why)
    else:
        filled.take(found)
    return found


def _looked_up(name: str, path: str, parents: Parents) -> tuple[Json, str]:
    """The value and an empty text, or nothing and why."""
    sides = {"INBOUND_PARENT_PIPE": parents.inbound, "OUTBOUND_PARENT_PIPE": parents.outbound}
    if name not in sides or not path:
        known = "##REPLACE_ID##, ##INBOUND_PARENT_PIPE.a.b## and ##OUTBOUND_PARENT_PIPE.a.b##"
        return _NOTHING, f"there is no such placeholder; there are {known}"
    pipe = sides[name]
    if pipe is None:
        return _NOTHING, f"there is no {'inbound' if name.startswith('IN') else 'outbound'} pipe here"
    found = _at(pipe, path)
    return found, f"pipe “{pipe.get('_id')}” has nothing at {path}" if found is _NOTHING else ""


def _at(value: Json, path: str) -> Json:
    """The value at a dotted path, `_NOTHING` where it leads nowhere."""
    for part in path.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isascii() and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return _NOTHING
    return value


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
