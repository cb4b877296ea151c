"""Which pipes feed which, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from apps.sesam.configuration import Entity
from apps.sesam.flows import Readers, sink_of, sources_of, unfollowed_of, writes_to


def pipe(name: str, source: Any = None, sink: Any = None) -> Entity:
    value: dict[str, Any] = {"_id": name, "type": "pipe"}
    value |= {"source": source} if source is not None else {}
    value |= {"sink": sink} if sink is not None else {}
    return Entity(id=name, value=value, file=f"node/pipes/{name}.conf.json")


def reads(*datasets: str) -> dict[str, Any]:
    return {"type": "merge", "datasets": list(datasets)}


@pytest.mark.parametrize(
    ("source", "datasets"),
    [
        ({"type": "dataset", "dataset": "a"}, {"a"}),
        ({"type": "dataset", "dataset": "a b"}, {"a"}),
        ({"type": "merge", "datasets": ["a x", "b  y", "c"]}, {"a", "b", "c"}),
        ({"type": "merge", "datasets": ["a x", "a y"]}, {"a"}),
        ({"type": "merge", "datasets": "a x"}, {"a"}),
        ({"type": "merge", "datasets": ["", "  ", 5, None, {"a": 1}, "b"]}, {"b"}),
        ({"type": "merge", "dataset": "a"}, set()),
        ({"type": "dataset", "datasets": ["a"]}, set()),
        ({"type": "dataset"}, set()),
        ({"type": "dataset", "dataset": ["a"]}, set()),
        ({"type": "union_datasets", "datasets": ["a"]}, set()),
        ({"type": "json", "dataset": "a"}, set()),
        ({"dataset": "a"}, set()),
        ("a", set()),
        (["a"], set()),
        (None, set()),
    ],
)
def test_sources(source: Any, datasets: set[str]) -> None:
    assert sources_of(pipe("p", source).value) == datasets


@pytest.mark.parametrize(
    ("sink", "dataset"),
    [
        (None, "p"),
        ({"type": "dataset", "dataset": "d"}, "d"),
        ({"type": "dataset"}, "p"),
        ({"type": "dataset", "dataset": ""}, "p"),
        ({"type": "dataset", "dataset": 7}, "p"),
        ({"type": "json", "dataset": "d"}, "p"),
        ({"dataset": "d"}, "p"),
        ("d", "p"),
    ],
)
def test_sink(sink: Any, dataset: str) -> None:
    assert sink_of(pipe("p", None, sink)) == dataset
    assert sink_of(pipe("p", None, sink).value) == dataset


def test_writes_to_each_producer_once_and_in_order() -> None:
    producers = [pipe("b"), pipe("a", sink={"type": "dataset", "dataset": "shared"}), pipe("unread")]
    consumers = [pipe("z", reads("b x", "shared s")), pipe("y", reads("b")), pipe("x", reads("nothing"))]
    flows = writes_to(producers, consumers)
    assert [(f.producer.id, [c.id for c in f.consumers]) for f in flows] == [("a", ["z"]), ("b", ["y", "z"])]
    assert writes_to(producers, Readers(consumers)) == flows
    assert writes_to(reversed(producers), reversed(consumers)) == flows


@pytest.mark.parametrize(
    ("source", "datasets"),
    [
        ({"type": "union_datasets", "datasets": ["a", "b x"]}, {"a", "b"}),
        ({"type": "diff_datasets", "dataset": "a"}, {"a"}),
        ({"type": "dataset", "dataset": "a"}, set()),
        ({"type": "merge", "datasets": ["a"]}, set()),
        ({"type": "sql", "table": "a"}, set()),
    ],
)
def test_sources_that_are_not_followed(source: Any, datasets: set[str]) -> None:
    assert unfollowed_of(pipe("p", source).value) == datasets
