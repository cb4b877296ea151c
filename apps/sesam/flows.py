"""Which pipes feed which: sources, sinks, and what crosses from one node to another. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apps.sesam.configuration import Entity, Json


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A pipe that writes to others. `consumers` read its sink, by id."""

    producer: Entity
    consumers: tuple[Entity, ...]


class Readers:
    """Some pipes by the datasets that they read, so that thousands of flows are found without comparing all pairs."""

    def __init__(self, pipes: Iterable[Entity]) -> None:
        self._by_dataset: dict[str, list[Entity]] = {}
        for pipe in sorted(pipes, key=_order):
            for dataset in sources_of(pipe.value):
                self._by_dataset.setdefault(dataset, []).append(pipe)

    def of(self, pipe: Entity) -> tuple[Entity, ...]:
        """Those that read what `pipe` writes, lowest id first."""
        return tuple(self._by_dataset.get(sink_of(pipe), ()))


def sources_of(pipe: Mapping[str, Json]) -> frozenset[str]:
    """The datasets that a pipe reads: `source.dataset` of type `dataset`, `source.datasets` of type `merge`.

    Of each `datasets` string (`"orders o"`) the first word is the dataset. Sources of other types read none.
    """
    source = _object(pipe.get("source"))
    if source.get("type") == "dataset":
        return _first_words([source.get("dataset")])
    if source.get("type") == "merge":
        named = source.get("datasets")
        return _first_words(named if isinstance(named, list) else [named])
    return frozenset()


def unfollowed_of(pipe: Mapping[str, Json]) -> frozenset[str]:
    """Datasets that a source of another type names (`union_datasets` …), which no replica is made for."""
    source = _object(pipe.get("source"))
    if source.get("type") in {"dataset", "merge"}:
        return frozenset()
    named = source.get("datasets")
    return _first_words([source.get("dataset"), *(named if isinstance(named, list) else [])])


def sink_of(pipe: Mapping[str, Json] | Entity) -> str:
    """The dataset that a pipe writes: `sink.dataset` when the sink's type is `dataset`, otherwise its own `_id`."""
    value = pipe if isinstance(pipe, Mapping) else pipe.value
    sink = _object(value.get("sink"))
    if sink.get("type") == "dataset" and isinstance(dataset := sink.get("dataset"), str) and dataset:
        return dataset
    return str(value.get("_id", ""))


def writes_to(producers: Iterable[Entity], consumers: Iterable[Entity] | Readers) -> tuple[Flow, ...]:
    """Each producer whose sink is among the sources of a consumer, once, lowest id first."""
    readers = consumers if isinstance(consumers, Readers) else Readers(consumers)
    found = ((pipe, readers.of(pipe)) for pipe in sorted(producers, key=_order))
    return tuple(Flow(producer=pipe, consumers=reading) for pipe, reading in found if reading)


def _order(entity: Entity) -> tuple[str, str]:
    return entity.id, entity.file


def _first_words(named: Iterable[Json]) -> frozenset[str]:
    return frozenset(words[0] for text in named if isinstance(text, str) and (words := text.split()))


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
