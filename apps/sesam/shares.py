"""Who gets what: the shares of a master and its extra nodes while replicas are added to them. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from apps.sesam.configuration import Entity, Problem
from apps.sesam.entities import identity_faults
from apps.sesam.json_text import same
from apps.sesam.templates import MOST_UNFOUND, ROOM, Overfull, Parents, template_fill
from apps.sesam.words import shown, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from apps.sesam.configuration import Json
    from apps.sesam.template_files import TemplateFile

_NAMED = 10  # readers of a pipe
MASTER = ""  # the master's place among the shares


@dataclass(frozen=True, kw_only=True)
class Replica:
    """An entity that a template made. `inbound` and `outbound` are the ids of the pipes on both sides, if any."""

    id: str
    template: str  # its file, from the repository's top
    kind: str  # pipe, system or metadata
    extra: str  # the extra node that it is there for
    inbound: str = ""
    outbound: str = ""

    def __str__(self) -> str:
        made_for = f" for {shown(self.inbound)}" if self.inbound else ""
        return f"the {self.kind} that {self.template} makes{made_for}"


@dataclass(frozen=True, kw_only=True)
class Unfound:
    """A template's placeholder that found nothing. `inbound` is the pipe it was filled for, if any."""

    extra: str
    template: str
    placeholder: str
    why: str
    inbound: str = ""
    line: int = 0


@dataclass(kw_only=True)
class Share:
    """One node's part of the repository: its entities by id, in order, and which of them are replicas."""

    entities: dict[str, Entity] = field(default_factory=dict)
    replicas: tuple[Replica, ...] = ()
    variables: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What one filling is for: the extra node, what `##REPLACE_ID##` is, and the pipes on both sides."""

    extra: str
    id: str
    inbound: Entity | None = None
    outbound: tuple[Entity, ...] = ()  # those that consume, lowest id first: it is the one that counts

    @property
    def parents(self) -> Parents:
        return Parents(
            id=self.id,
            inbound=self.inbound.value if self.inbound else None,
            outbound=self.outbound[0].value if self.outbound else None,
        )


class Growing:
    """A share that replicas are added to; what is wrong with one is collected and the rest goes on."""

    def __init__(self, node: str, entities: Iterable[Entity]) -> None:
        self.node = node  # as people call it
        self.entities: dict[str, Entity] = {}
        for entity in entities:
            self.entities.setdefault(entity.id, entity)  # ids that are there twice, the reader of files has told
        self.replicas: dict[str, Replica] = {}
        self.problems: list[Problem] = []
        self.unfound: list[Unfound] = []
        self._room = ROOM  # characters that replicas may still take

    def fill(self, template: TemplateFile | None, kinds: frozenset[str], sides: Sides) -> None:
        """Add what this template makes; nothing when there is no such template, or no room for more."""
        if template is None or self._room < 0:
            return
        self._room -= len(template.text)
        try:
            if self._room < 0 or len(self.unfound) > MOST_UNFOUND:
                raise Overfull
            for entry in template.entries:
                self._fill_one(template, entry, kinds, sides)
        except Overfull:
            self._room = -1
            what = f"{ROOM >> 20} MB, or more than {MOST_UNFOUND} placeholders of them find nothing"
            self._wrong(template, f"The replicas for {self.node} take more than {what}: no more of them are made.")

    def _fill_one(self, template: TemplateFile, entry: Mapping[str, Json], kinds: frozenset[str], sides: Sides) -> None:
        inbound = sides.inbound.id if sides.inbound else ""
        filled = template_fill(entry, sides.parents, room=self._room)
        self._room = filled.room
        for lost in filled.unfound:
            line = template.line_of(lost.placeholder)
            text = f"{lost.placeholder} found nothing{f' for pipe “{shown(inbound)}”' if inbound else ''}: {lost.why}."
            self.problems.append(Problem(file=template.file, line=line, text=shown(text)))
            self.unfound.append(
                Unfound(extra=sides.extra, template=template.file, placeholder=lost.placeholder, why=lost.why,
                        inbound=inbound, line=line)
            )  # fmt: skip
        if filled.uses_outbound and len(sides.outbound) > 1:
            self._warn_of_several(template, sides)
        if not filled.unfound:
            outbound = sides.outbound[0].id if sides.outbound else ""
            self._add(template, filled.value, kinds, Replica(
                id="", template=template.file, kind="", extra=sides.extra, inbound=inbound, outbound=outbound,
            ))  # fmt: skip

    def _warn_of_several(self, template: TemplateFile, sides: Sides) -> None:
        readers = some([pipe.id for pipe in sides.outbound[: _NAMED + 1]], _NAMED)
        assert sides.inbound
        text = (
            f"{len(sides.outbound)} pipes consume “{shown(sides.inbound.id)}” ({readers}); "
            f"the outbound pipe is “{shown(sides.outbound[0].id)}”, the lowest id."
        )
        self.problems.append(Problem(file=template.file, text=text, is_error=False))

    def _add(self, template: TemplateFile, value: dict[str, Json], kinds: frozenset[str], replica: Replica) -> None:
        if faults := tuple(identity_faults(value)):
            self._wrong(template, f"What this template makes is no entity. {' '.join(faults)}")
            return
        entity = Entity(id=value["_id"], value=value, file=template.file)
        if entity.kind not in kinds:
            known = " or ".join(sorted(kinds))
            self._wrong(template, f"“{entity.id}” has the type “{value['type']}”; here {known} is needed.")
            return
        replica = replace(replica, id=entity.id, kind=entity.kind)
        if entity.id in self.entities:
            self._collide(template, entity, replica)
        else:
            self.entities[entity.id], self.replicas[entity.id] = entity, replica

    def _collide(self, template: TemplateFile, entity: Entity, replica: Replica) -> None:
        other = self.entities[entity.id]
        named = self.replicas.get(entity.id) or other.file
        equal = same(entity.value, other.value)
        text = f"{self.node} gets “{shown(entity.id)}” twice: {replica}, and {named}."
        rest = " Both are equal, so it is there once." if equal else " Put ##REPLACE_ID## into the template's _id."
        self.problems.append(Problem(file=template.file, text=text + rest, is_error=not equal))

    def _wrong(self, template: TemplateFile, text: str) -> None:
        self.problems.append(Problem(file=template.file, text=shown(text)))

    def share(self, variables: Mapping[str, Json]) -> Share:
        """As it is now, everything by id."""
        return Share(
            entities={name: self.entities[name] for name in sorted(self.entities)},
            replicas=tuple(self.replicas[name] for name in sorted(self.replicas)),
            variables={name: variables[name] for name in sorted(variables)},
        )
