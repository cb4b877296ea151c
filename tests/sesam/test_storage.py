"""Configurations in the database: packed, once each, and gone when nobody refers to them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.access.errors import PanelError
from apps.sesam import storage
from apps.sesam.configuration import Configuration, Entity
from apps.sesam.models import Node, Snapshot, StoredConfiguration, Sync
from apps.sesam.recently import Recently
from apps.sesam.storage import configuration_keep, configuration_of, configurations_prune, digest_of


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    storage._recent.clear()
    yield
    storage._recent.clear()


def configuration(*names: str, **more: Any) -> Configuration:
    values = {name: {"_id": name, "type": "pipe", "n": 1, "o": {"a": 1, "b": "\x00\ud800é"}} for name in names}
    entities = {name: Entity(id=name, value=value, file=f"pipes/{name}.conf.json") for name, value in values.items()}
    return Configuration(**({"entities": entities} | more))


def aged(stored: StoredConfiguration, hours: float = 2) -> None:
    StoredConfiguration.objects.filter(pk=stored.pk).update(stored_at=timezone.now() - timedelta(hours=hours))


@pytest.mark.parametrize(
    "kept",
    [
        Configuration(),
        configuration("a", "b", variables={"x": 1, "y": [None]}, secrets=frozenset({"s", "t"}), unknown=("unknown/x",)),
        configuration("a", variables={}, secrets=frozenset()),
        configuration("a", variables=None, secrets=None),
    ],
)
@pytest.mark.django_db
def test_what_is_kept_is_read_back(kept: Configuration) -> None:
    stored = configuration_keep(kept)
    assert stored.digest == digest_of(kept)
    found = configuration_of(StoredConfiguration.objects.get(pk=stored.pk))
    assert found == kept
    assert digest_of(found) == stored.digest


def test_the_digest_goes_by_values() -> None:
    def of(value: dict[str, Any], **more: Any) -> str:
        return digest_of(Configuration(entities={"a": Entity(id="a", value=value)}, **more))

    one = of({"_id": "a", "n": 1, "o": {"a": 1, "b": 2}})
    assert of({"o": {"b": 2.0, "a": 1}, "n": 1.0, "_id": "a"}) == one
    others = [
        of({"_id": "a", "n": True, "o": {"a": 1, "b": 2}}),
        of({"_id": "a", "n": 1, "o": {"a": 1}}),
        of({"_id": "a", "n": 1, "o": {"a": 1, "b": 2}}, variables={}),
        of({"_id": "a", "n": 1, "o": {"a": 1, "b": 2}}, secrets=frozenset()),
        digest_of(Configuration()),
    ]
    assert len({one, *others}) == 6


@pytest.mark.django_db
def test_it_is_kept_once_and_packed() -> None:
    names = [f"pipe-{number}" for number in range(200)]
    first = configuration_keep(configuration(*names))
    again = configuration_keep(configuration(*reversed(names)))
    assert first.pk == again.pk
    assert StoredConfiguration.objects.count() == 1
    assert len(bytes(StoredConfiguration.objects.get().data)) * 5 < first.size


@pytest.mark.django_db
def test_what_was_read_is_remembered() -> None:
    stored = configuration_keep(configuration("a"))
    found = configuration_of(stored)
    other = StoredConfiguration(digest=stored.digest, data=b"", size=0)
    assert configuration_of(other) is found


@pytest.mark.parametrize(
    "change",
    [{"data": b""}, {"data": b"no zlib"}, {"size": 3}, {"digest": "0" * 64}],
)
@pytest.mark.django_db
def test_what_is_damaged_is_told(change: dict[str, Any]) -> None:
    stored = configuration_keep(configuration("a"))
    StoredConfiguration.objects.filter(pk=stored.pk).update(**change)
    with pytest.raises(PanelError, match="damaged"):
        configuration_of(StoredConfiguration.objects.get(pk=stored.pk))


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_many_who_keep_the_same_at_once_keep_it_once() -> None:
    barrier, found, wrong = threading.Barrier(6), [], []

    def keep(number: int) -> None:
        try:
            barrier.wait(60)
            with transaction.atomic():
                found.append(configuration_keep(configuration("a", "b")).pk)
                found.append(configuration_keep(configuration(f"own-{number}")).pk)
        except Exception as error:
            wrong.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert StoredConfiguration.objects.count() == 7
    assert len(set(found)) == 7


@pytest.mark.database
@pytest.mark.django_db
def test_only_what_nobody_refers_to_is_pruned() -> None:
    node = Node.objects.create(name="dev")
    kept = {name: configuration_keep(configuration(name)) for name in ("before", "wanted", "snapshot", "young", "old")}
    for name in kept.keys() - {"young"}:
        aged(kept[name])
    Sync.objects.create(node=node, before=kept["before"], wanted=kept["wanted"])
    Sync.objects.create(node=node)
    Snapshot.objects.create(node=node, content=kept["snapshot"])
    assert configurations_prune() == 1
    assert not StoredConfiguration.objects.filter(pk=kept["old"].pk).exists()
    assert StoredConfiguration.objects.count() == 4
    assert configurations_prune() == 0


@pytest.mark.database
@pytest.mark.django_db
def test_what_is_kept_again_is_not_pruned() -> None:
    stored = configuration_keep(configuration("a"))
    aged(stored)
    assert configuration_keep(configuration("a")).pk == stored.pk
    assert configurations_prune() == 0


@pytest.mark.database
@pytest.mark.django_db
def test_many_are_pruned_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_BATCH", 3)
    for number in range(8):
        aged(configuration_keep(configuration(str(number))))
    assert configurations_prune() == 8


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_keeping_while_pruning_never_leaves_a_reference_to_nothing() -> None:
    node = Node.objects.create(name="dev")
    stop, wrong = threading.Event(), []

    def prune() -> None:
        try:
            while not stop.wait(0.01):  # leaves SQLite's one pen to the others now and then
                configurations_prune()
        except Exception as error:
            wrong.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=prune)
    thread.start()
    try:
        for number in range(30):
            aged(configuration_keep(configuration(str(number % 3))))
            with transaction.atomic():
                Snapshot.objects.create(node=node, content=configuration_keep(configuration(str(number % 3))))
            Snapshot.objects.all().delete()
    finally:
        stop.set()
        thread.join(60)
    assert wrong == []


def test_the_memory_is_bounded_by_bytes_and_forgets_the_least_used() -> None:
    recent: Recently[str] = Recently(10)
    recent.put("a", "A", 4)
    recent.put("b", "B", 4)
    assert recent.get("a") == "A"
    recent.put("c", "C", 4)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == ("A", None, "C")
    recent.put("huge", "H", 11)
    recent.put("a", "other", 4)
    assert (recent.get("huge"), recent.get("a")) == (None, "A")
    recent.clear()
    assert recent.get("a") is None
