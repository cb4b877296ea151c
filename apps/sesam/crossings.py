"""What crosses between nodes and no template can carry: told, so that data that never arrives is no riddle. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.sesam.configuration import Problem
from apps.sesam.flows import Readers, sink_of, unfollowed_of
from apps.sesam.words import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from apps.sesam.configuration import Entity


def crossings_told(owned: Mapping[str, Sequence[Entity]], extras: set[str]) -> list[Problem]:
    """Warnings, one for each pipe: `owned` has the entities by owner, `""` the master's."""
    pipes = [
        (owner, entity)
        for owner, entities in sorted(owned.items())
        for entity in entities
        if entity.kind == "pipe" and owner in {"", *extras}
    ]
    writers: dict[str, list[tuple[str, Entity]]] = {}
    for owner, pipe in pipes:
        writers.setdefault(sink_of(pipe), []).append((owner, pipe))
    return [*_between_extras(pipes), *_unfollowed(pipes, writers)]


def _between_extras(pipes: Sequence[tuple[str, Entity]]) -> list[Problem]:
    owners = {pipe.id: owner for owner, pipe in pipes}
    readers = Readers(pipe for owner, pipe in pipes if owner)
    told = []
    for owner, pipe in pipes:
        others = [one for one in readers.of(pipe) if owner and owners[one.id] != owner]
        if others:
            text = (
                f"“{shown(pipe.id)}” on {shown(owner)} writes to “{shown(others[0].id)}” on "
                f"{shown(owners[others[0].id])}: templates carry nothing between two extra nodes."
            )
            told.append(Problem(file=pipe.file, text=text, is_error=False))
    return told


def _unfollowed(
    pipes: Sequence[tuple[str, Entity]], writers: Mapping[str, Sequence[tuple[str, Entity]]]
) -> list[Problem]:
    told = []
    for owner, pipe in pipes:
        for dataset in sorted(unfollowed_of(pipe.value)):
            far = [(place, writer) for place, writer in writers.get(dataset, ()) if place != owner]
            if far:
                text = (
                    f"“{shown(pipe.id)}” reads “{shown(dataset)}” by a source of type "
                    f"“{shown(str(pipe.value['source'].get('type')))}”; only dataset and merge are carried between "
                    f"nodes, and “{shown(far[0][1].id)}” on {shown(far[0][0]) or 'the master'} writes it."
                )
                told.append(Problem(file=pipe.file, text=text, is_error=False))
    return told
