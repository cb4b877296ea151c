"""Entities from files: one each, with an id, a known type, and an owner. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.sesam.configuration import Entity, Problem
from apps.sesam.errors import JsonProblem
from apps.sesam.json_text import MOST_VALUES, is_overfull, json_read
from apps.sesam.layout import below
from apps.sesam.whitelist import METADATA_FILE, SUFFIX, home_of
from apps.sesam.words import is_plain, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from apps.sesam.configuration import Json

_LONGEST_ID = 240  # bytes: with its suffix it must be a file's name
_HOMES = {"pipe": "pipes", "system": "systems", "metadata": ""}


def owner_of(entity: Entity) -> str:
    """The extra node an entity belongs to; empty: the master. In ci, all belongs to one node."""
    metadata = entity.value.get("metadata")
    owner = metadata.get("node") if isinstance(metadata, dict) else None
    return owner if isinstance(owner, str) else ""


def entities_read(files: Mapping[str, bytes], folder: str) -> tuple[tuple[Entity, ...], list[Problem]]:
    """The entities by id, each id once (the first file by name), and everything that is wrong."""
    if is_overfull(files.values()):
        text = f"The files have more than {MOST_VALUES:,} values together; the panel does not read as many."
        return (), [Problem(file=folder, text=text)]
    kept: dict[str, Entity] = {}
    problems: list[Problem] = []
    for path in sorted(files):
        try:
            value = json_read(files[path], path)
        except JsonProblem as error:
            problems.append(error.problem)
            continue
        found = list(_value_problems(value, path, folder))
        problems += found
        if any(problem.is_error for problem in found):
            continue
        entity = Entity(id=value["_id"], value=value, file=path)
        if first := kept.get(entity.id):
            problems.append(Problem(file=path, text=f"The _id “{entity.id}” is also that of {first.file}.", line=1))
        else:
            kept[entity.id] = entity
    return tuple(kept[one] for one in sorted(kept)), problems


def _value_problems(value: Json, path: str, folder: str) -> Iterator[Problem]:
    if not isinstance(value, dict):
        what = "a list; a file holds one entity" if isinstance(value, list) else "no JSON object"
        yield Problem(file=path, text=f"This is {what}.", line=1)
        return
    wrong = list(identity_faults(value))
    for text in wrong:
        yield Problem(file=path, text=text, line=1)
    if not wrong:
        for text in _place_problems(value, path, folder):
            yield Problem(file=path, text=text, line=1, is_error=False)


def identity_faults(value: Mapping[str, Json]) -> Iterator[str]:
    """What keeps an object from being an entity, as sentences."""
    if "_id" not in value:
        yield "It has no _id."
    elif fault := _id_fault(value["_id"]):
        yield fault
    if "type" not in value:
        yield "It has no type."
    elif not isinstance(value["type"], str) or Entity(id="", value=value).kind == "unknown":
        yield f"Its type is {_quoted(value['type'])}; pipe, system:… or metadata is needed."
    yield from _metadata_problems(value.get("metadata", {}))


def _metadata_problems(metadata: Json) -> Iterator[str]:
    if not isinstance(metadata, dict):
        yield "Its metadata is no JSON object."
    elif not isinstance(metadata.get("node", ""), str):
        yield "Its metadata.node is not text."


def _id_fault(name: Json) -> str:
    """Ids become the names of files in the node's zip."""
    if not isinstance(name, str) or not name:
        return "Its _id is empty." if name == "" else "Its _id is not text."
    if not is_plain(name) or {"/", "\\"} & set(name) or name in {".", ".."} or name != name.strip():
        return f"Its _id {_quoted(name)} cannot be a file's name."
    if len(name.encode()) > _LONGEST_ID:
        return f"Its _id is longer than {_LONGEST_ID} bytes."
    return ""


def _quoted(value: Json) -> str:
    return f"“{shown(value)[:80]}”" if isinstance(value, str) else "not text"


def _place_problems(value: Mapping[str, Json], path: str, folder: str) -> Iterator[str]:
    """What works but will surprise people."""
    kind, name = Entity(id=value["_id"], value=value).kind, path.rpartition("/")[2]
    home = _HOMES[kind]
    if home_of(below(path, folder)) != home:
        yield f"This {kind} does not lie in {home}/." if home else f"Node metadata belongs in {METADATA_FILE}."
    if kind != "metadata" and name != value["_id"] + SUFFIX:
        yield f"Its _id is “{value['_id']}”, unlike the file's name."
