"""Configurations as zips: there and back, the digest, and zips that nobody should open."""

from __future__ import annotations

import contextlib
import io
import json
import random
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.sesam.archive import (
    Archive,
    BadArchive,
    archive_made,
    configuration_read,
    file_name,
    files_digest,
    list_files,
    list_made,
)
from apps.sesam.configuration import Entity
from tests.fakes.node_store import files_read
from tests.fakes.wire import zip_bomb

IDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
KINDS = st.sampled_from(["pipe", "system:url", "system"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | IDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(IDS, inner, max_size=3),
    max_leaves=6,
)
ENTITIES = st.dictionaries(IDS, st.tuples(KINDS, VALUES), max_size=6).map(
    lambda found: [
        Entity(id=name, value={"_id": name, "type": kind, "source": {"of": value}})
        for name, (kind, value) in found.items()
    ]
)


def archive_files(data: bytes) -> dict[str, bytes]:
    archive = Archive(data)
    assert len(archive.digest) == 64
    return archive.files()


def zipped(files: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return buffer.getvalue()


@given(entities=ENTITIES)
@settings(max_examples=60, deadline=None)
def test_there_and_back(entities: list[Entity]) -> None:
    data = archive_made(entities)
    assert {one.id: one.value for one in entities} == {
        name: one.value for name, one in configuration_read(archive_files(data)).entities.items()
    }
    posted, unknown = files_read(data)  # as a node reads it
    assert sorted(one["_id"] for one in posted) == sorted(one.id for one in entities)
    assert unknown == {}
    assert {one["_id"]: one for one in json.loads(list_made(entities))} == {one.id: one.value for one in entities}


@given(entities=ENTITIES, seed=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_same_bytes_in_any_order(entities: list[Entity], seed: int) -> None:
    shuffled = random.Random(seed).sample(entities, len(entities))
    assert archive_made(shuffled) == archive_made(entities)
    assert list_made(shuffled) == list_made(entities)


@given(files=st.dictionaries(IDS, st.binary(max_size=20), max_size=5), seed=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_digest_of_contents_alone(files: dict[str, bytes], seed: int) -> None:
    shuffled = dict(random.Random(seed).sample(list(files.items()), len(files)))
    digest = files_digest(files)
    assert files_digest(shuffled) == digest
    for name, content in files.items():
        assert files_digest(files | {name: content + b"x"}) != digest
        assert files_digest({one: files[one] for one in files if one != name}) != digest


@given(files=st.dictionaries(IDS, st.binary(max_size=20), max_size=5), seed=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_digest_of_a_zip(files: dict[str, bytes], seed: int) -> None:
    named = [(f"pipes/{number}", content) for number, content in enumerate(files.values())]
    digest = Archive(zipped(named)).digest
    shuffled = random.Random(seed).sample(named, len(named))
    later = io.BytesIO()
    with zipfile.ZipFile(later, "w") as archive:
        for name, content in shuffled:
            archive.writestr(zipfile.ZipInfo(name, (2030, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    assert Archive(later.getvalue()).digest == digest
    for name, content in named:
        assert Archive(zipped([*(one for one in named if one[0] != name), (name, content + b"x")])).digest != digest


def test_digest_is_not_fooled_by_where_a_name_ends() -> None:
    assert files_digest({"a": b"bc"}) != files_digest({"ab": b"c"})


@pytest.mark.parametrize(
    ("name", "kind", "path"),
    [
        ("customers", "pipe", "pipes/customers.conf.json"),
        ("crm", "system:url", "systems/crm.conf.json"),
        ("node", "metadata", "node-metadata.conf.json"),
        ("odd", "thing", "pipes/odd.conf.json"),
        ("../../x", "pipe", "pipes/..%2F..%2Fx.conf.json"),
        ("a\\b", "system", "systems/a%5Cb.conf.json"),
        ("æ ø:å", "pipe", "pipes/æ ø:å.conf.json"),
    ],
)
def test_file_name(name: str, kind: str, path: str) -> None:
    assert file_name(Entity(id=name, value={"_id": name, "type": kind})) == path


def test_unknown_and_odd_files() -> None:
    files = {
        "pipes/a.conf.json": b'{"_id": "a", "type": "pipe"}',
        "node-metadata.conf.json": b'\xef\xbb\xbf{"_id": "node", "type": "metadata"}',
        "unknown/pipes/note.txt": b"\xff",
        "pipes/list.conf.json": b"[]",
        "pipes/none.conf.json": b"{}",
        "readme.md": b"",
    }
    found = configuration_read(files)
    assert set(found.entities) == {"a", "node"}
    assert found.unknown == ("pipes/list.conf.json", "pipes/none.conf.json", "readme.md", "pipes/note.txt")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"pipes/a.conf.json": b"{"}, "pipes/a.conf.json"),
        ({"pipes/a.conf.json": b'{"_id": "x"}', "systems/a.conf.json": b'{"_id": "x"}'}, "two entities with the _id x"),
    ],
)
def test_unreadable_configuration(files: dict[str, bytes], words: str) -> None:
    with pytest.raises(BadArchive, match=words):
        configuration_read(files)


def test_bomb_is_refused_without_unpacking() -> None:
    data = zip_bomb()
    tracemalloc.start()
    with pytest.raises(BadArchive, match="unpacks to more than 64 MB") as raised:
        archive_files(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not raised.value.cut
    assert peak < 2 << 20


def test_zip_that_lies_about_its_size_is_stopped() -> None:
    """It says one byte, and holds a hundred million: no more than was said is unpacked."""
    data = zipped([("pipes/a.conf.json", b" " * (100 << 20))])
    lying = data.replace((100 << 20).to_bytes(4, "little"), (1).to_bytes(4, "little"))
    assert lying != data
    tracemalloc.start()
    with pytest.raises(BadArchive, match="not a sound zip"):
        archive_files(lying)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_too_many_files() -> None:
    with pytest.raises(BadArchive, match="has 11 files; 10 are the limit"):
        Archive(zipped([(f"pipes/{number}", b"") for number in range(11)]), limit_files=10)


def test_two_files_of_one_name() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped([("pipes/a.conf.json", b"{}"), ("pipes/a.conf.json", b"[]")])
    with pytest.raises(BadArchive, match="two files of one name"):
        archive_files(data)


@given(cut=st.integers(0, 400), flip=st.integers(0, 400))
@settings(max_examples=80, deadline=None)
def test_damaged_zips_never_crash(cut: int, flip: int) -> None:
    data = bytearray(archive_made([Entity(id=f"p{n}", value={"_id": f"p{n}", "type": "pipe"}) for n in range(3)]))
    data[flip % len(data)] ^= 0x55
    with contextlib.suppress(BadArchive):
        archive_files(bytes(data[: cut % len(data)] if cut % 2 else data))


def test_encrypted_zip() -> None:
    data = bytearray(zipped([("pipes/a.conf.json", b"{}")]))
    data[6] |= 1  # the flag in the file's own head, and in the directory at the end
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(BadArchive, match="cannot be unpacked"):
        archive_files(bytes(data))


def test_half_a_deflated_stream() -> None:
    with pytest.raises(BadArchive) as raised:
        archive_files(zlib.compress(b"no zip at all"))
    assert raised.value.cut


def test_list_instead_of_zip() -> None:
    one, other = {"_id": "a", "type": "pipe"}, {"type": "system", "_id": "b"}
    files = list_files(json.dumps([one, other]).encode())
    assert set(configuration_read(files).entities) == {"a", "b"}
    assert files_digest(files) == files_digest(list_files(json.dumps([other, one], indent=1).encode()))
    for wrong in (b"{}", b"[", b"\xff"):
        with pytest.raises(BadArchive):
            list_files(wrong)
