"""A multi-node repository's entities as shares: the master's, and each extra node's with its replicas. No I/O.

Data crosses between two nodes by pairs of replica pipes, made from the extra node's templates:

extra → master: for each pipe of the extra node that writes to one of the master's. A *proxy* takes every pipe of
its own instead, except those that the master feeds. The extra node gets its two systems, with the master's name.
master → extra: for each pipe of the master that writes to one of the extra node's. The master gets its two systems,
with the extra node's name. For a proxy nothing of this direction goes into the master.

The template's node metadata goes to the extra node (`##REPLACE_ID##` is the master's name there, too), and so do the
variables that it uses. The same input in any order gives the same shares, replicas and problems.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.sesam.configuration import Problem
from apps.sesam.crossings import crossings_told
from apps.sesam.flows import Readers, sink_of, sources_of, writes_to
from apps.sesam.layout import joined
from apps.sesam.references import references
from apps.sesam.shares import MASTER, Growing, Replica, Share, Sides, Unfound
from apps.sesam.source import owner_of
from apps.sesam.template_files import METADATA, TemplateSet, templates_read
from apps.sesam.words import shown, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from apps.sesam.configuration import Entity
    from apps.sesam.models import ExtraNode
    from apps.sesam.source import Source

__all__ = ["MASTER", "Expansion", "ExtraSpec", "Replica", "Share", "Unfound", "expand"]

_BOTH, _METADATA = frozenset({"pipe", "system"}), frozenset({"metadata"})


@dataclass(frozen=True, kw_only=True)
class ExtraSpec:
    """An extra node as expansion needs it. `template_path` is beside `node/`."""

    name: str
    template_path: str
    proxy: bool = False

    @classmethod
    def of(cls, extra: ExtraNode) -> ExtraSpec:
        return cls(name=extra.name, template_path=extra.template_path, proxy=extra.proxy)


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """`shares` by the extra nodes' names, `""` the master's. Problems are sorted by file."""

    shares: Mapping[str, Share]
    problems: tuple[Problem, ...]
    unfound: tuple[Unfound, ...]


def expand(source: Source, *, master_name: str, extras: Sequence[ExtraSpec], ci: bool) -> Expansion:
    """Everyone's share. In `ci` everything belongs to one node, and nothing is replicated. Never raises for content."""
    entities = sorted(source.entities, key=lambda entity: (entity.id, entity.file))
    if ci:
        whole = Growing(master_name, entities).share(source.variables)
        return Expansion(shares={MASTER: whole}, problems=(), unfound=())
    work = _Work(entities, master_name)
    told = [
        *_unknown_owners(work.owned, extras, master_name),
        *crossings_told(work.owned, {extra.name for extra in extras}),
    ]
    for extra in sorted(extras, key=lambda extra: extra.name):
        templates = templates_read(source.templates, joined(source.settings.root, extra.template_path))
        told += templates.problems
        work.extra_node(extra, templates)
    shares = {MASTER: work.master.share(source.variables)}
    for name, growing in work.extras.items():
        used = references(growing.entities.values()).variables
        shares[name] = growing.share({key: source.variables[key] for key in used if key in source.variables})
    grown = [work.master, *work.extras.values()]
    return Expansion(
        shares=shares,
        problems=_in_order([*told, *(problem for one in grown for problem in one.problems)]),
        unfound=tuple(lost for one in grown for lost in one.unfound),
    )


class _Work:
    """The shares as they grow, one extra node after the other. Flows are those of the repository's own pipes."""

    def __init__(self, entities: Iterable[Entity], master_name: str) -> None:
        self.owned: dict[str, list[Entity]] = {MASTER: []}
        for entity in entities:
            self.owned.setdefault(owner_of(entity), []).append(entity)
        self.master = Growing(master_name, self.owned[MASTER])
        self.extras: dict[str, Growing] = {}
        self._pipes = _pipes(self.owned[MASTER])
        self._readers = Readers(self._pipes)
        self._sinks = {sink_of(pipe) for pipe in self._pipes}

    def extra_node(self, extra: ExtraSpec, templates: TemplateSet) -> None:
        grown = self.extras[extra.name] = Growing(extra.name, self.owned.get(extra.name, []))
        own = _pipes(self.owned.get(extra.name, []))
        to_master = self._to_master(extra, own)
        to_extra = [
            Sides(extra=extra.name, id=flow.producer.id, inbound=flow.producer, outbound=flow.consumers)
            for flow in writes_to(self._pipes, own)
        ]
        both = (self.master, grown)
        self._pipe_pairs(templates, "extra_to_master", to_master, both)
        self._systems(templates, "extra", grown, Sides(extra=extra.name, id=self.master.node))
        # A proxy fetches by itself what the master has for it.
        self._pipe_pairs(templates, "master_to_extra", to_extra, (None, grown) if extra.proxy else both)
        if not extra.proxy:
            self._systems(templates, "master", self.master, Sides(extra=extra.name, id=extra.name))
        metadata = templates.by_name.get(METADATA)
        grown.fill(metadata, _METADATA, Sides(extra=extra.name, id=self.master.node))

    def _to_master(self, extra: ExtraSpec, own: Sequence[Entity]) -> list[Sides]:
        if extra.proxy:
            chosen = [pipe for pipe in own if not sources_of(pipe.value) & self._sinks]
        else:
            chosen = [flow.producer for flow in writes_to(own, self._readers)]
        return [Sides(extra=extra.name, id=pipe.id, inbound=pipe, outbound=self._readers.of(pipe)) for pipe in chosen]

    @staticmethod
    def _pipe_pairs(
        templates: TemplateSet, way: str, flows: Sequence[Sides], both: tuple[Growing | None, Growing]
    ) -> None:
        """Fill this way's pipe templates for each flow: the one for the master (None: it gets none), and the other."""
        on_master, on_extra = (
            templates.by_name.get(f"pipe_on_{place}_from_{way}.json") for place in ("master", "extra")
        )
        master, extra = both
        if flows and not on_master and not on_extra and templates.by_name:
            named = some([sides.id for sides in flows])
            text = f"There is no pipe template for what flows {way.replace('_', ' ')}: {named}."
            extra.problems.append(Problem(file=templates.folder, text=text, is_error=False))
        for sides in flows:
            if master:
                master.fill(on_master, _BOTH, sides)
            extra.fill(on_extra, _BOTH, sides)

    @staticmethod
    def _systems(templates: TemplateSet, place: str, into: Growing, sides: Sides) -> None:
        for way in ("extra_to_master", "master_to_extra"):
            into.fill(templates.by_name.get(f"system_on_{place}_from_{way}.json"), _BOTH, sides)


def _pipes(entities: Iterable[Entity]) -> list[Entity]:
    return [entity for entity in entities if entity.kind == "pipe"]


def _unknown_owners(
    owned: Mapping[str, Sequence[Entity]], extras: Sequence[ExtraSpec], master_name: str
) -> list[Problem]:
    """Entities of a node that nobody declared would go nowhere, without a word."""
    known = {extra.name for extra in extras}
    there = ", ".join(sorted(known)) or "none"
    return [
        Problem(
            file=entities[0].file,
            text=f"metadata.node names “{shown(owner)}”, which is no extra node of this master (there are: {there}). "
            + ("What belongs to the master itself names nobody. " if owner == master_name else "")
            + f"Files: {some([entity.file for entity in entities], 10)}.",
        )
        for owner, entities in sorted(owned.items())
        if owner != MASTER and owner not in known
    ]


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Sorted, each once: two extra nodes may use the same templates."""
    return tuple(sorted(set(problems), key=lambda one: (one.file, one.line, one.column, one.text)))
