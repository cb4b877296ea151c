"""One configuration group of a node: what belongs to it, and what it may not hold. No I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from apps.sesam.configuration import Problem
from apps.sesam.words import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apps.sesam.configuration import Entity

GROUP_KEY = "$config-group"


def group_of(entity: Entity) -> Any:
    """The group an entity names itself; None when it names none."""
    metadata = entity.value.get("metadata")
    return metadata.get(GROUP_KEY) if isinstance(metadata, dict) else None


def in_group(entity: Entity, group: str) -> Entity:
    """The entity with the group's name, when it names none itself."""
    metadata = entity.value.get("metadata", {})
    if not isinstance(metadata, dict) or metadata.get(GROUP_KEY) is not None:
        return entity
    return replace(entity, value={**entity.value, "metadata": {**metadata, GROUP_KEY: group}})


def grouped(entities: Iterable[Entity], group: str) -> tuple[tuple[Entity, ...], tuple[Problem, ...]]:
    """What goes into a group: node metadata does not; an entity of another group is a problem.

    Without a group, everything stays as it is.
    """
    if not group:
        return tuple(entities), ()
    kept, problems = [], []
    for entity in entities:
        if entity.kind == "metadata":
            continue
        if (other := group_of(entity)) not in (None, group):
            text = f"“{entity.id}” is of the group {shown(str(other))}; this node takes only {group}."
            problems.append(Problem(file=entity.file, text=text, line=1))
        kept.append(in_group(entity, group))
    return tuple(kept), tuple(problems)
