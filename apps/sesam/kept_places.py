"""Git's version of a value with the node's at chosen places. No I/O.

- At the place itself the node's value stands; what the node does not have there stays away.
- Where only one side has the objects around a place, they come and go with it.
- In lists, places count by index; what the longer side has more is kept (or left out) at the end only,
  as taking something from a list's middle would move all the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.sesam.configuration import Json
    from apps.sesam.rules import Tokens

_MISSING = object()


def kept_places(node: Json, git: Json, places: Sequence[Tokens]) -> Json:
    """`git`, but at each place what `node` has. Neither is changed. A second time changes nothing more."""
    return _kept(node, git, [place for place in places if place])


def _kept(node: Json, git: Json, places: Sequence[Tokens]) -> Json:
    if not places:
        return git
    if any(not place for place in places):
        return node
    if _may_be(dict, node, git):
        return _kept_in_object(node, git, places)
    if isinstance(node, list) and isinstance(git, list):
        return _kept_in_list(node, git, places)
    return git


def _may_be(what: type, *values: Json) -> bool:
    """Whether all that is there is of this type, and something is there."""
    there = [value for value in values if value is not _MISSING]
    return bool(there) and all(isinstance(value, what) for value in there)


def _kept_in_object(node: Json, git: Json, places: Sequence[Tokens]) -> Json:
    theirs = {} if node is _MISSING else node
    result = {} if git is _MISSING else dict(git)
    for key in sorted(theirs.keys() | result.keys()):
        if deeper := _deeper(places, key):
            value = _kept(theirs.get(key, _MISSING), result.get(key, _MISSING), deeper)
            if value is _MISSING:
                result.pop(key, None)
            else:
                result[key] = value
    # Objects that are there for the place's sake alone.
    alone = git is _MISSING or (node is _MISSING and bool(git))
    return _MISSING if alone and not result else result


def _kept_in_list(node: list[Json], git: list[Json], places: Sequence[Tokens]) -> list[Json]:
    result = [
        _kept(theirs, ours, _deeper(places, str(index)))
        for index, (theirs, ours) in enumerate(zip(node, git, strict=False))
    ]
    rest = git[len(node) :]
    while rest and _is_place(places, len(result) + len(rest) - 1):
        rest.pop()
    for index in range(len(git), len(node)):
        if not _is_place(places, index):
            break
        rest.append(node[index])
    return result + rest


def _deeper(places: Sequence[Tokens], key: str) -> list[Tokens]:
    return [place[1:] for place in places if place[0].fullmatch(key)]


def _is_place(places: Sequence[Tokens], index: int) -> bool:
    return any(len(place) == 1 and place[0].fullmatch(str(index)) for place in places)
