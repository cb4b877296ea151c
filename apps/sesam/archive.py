"""A node's configuration as a zip, in memory, both ways. A zip comes from outside: nothing in it is believed."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from functools import cached_property
from typing import TYPE_CHECKING

from apps.sesam.configuration import Configuration, Entity
from apps.sesam.errors import JsonProblem
from apps.sesam.json_text import MOST_VALUES, is_overfull, json_read
from apps.sesam.words import has_halves, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

METADATA = "node-metadata.conf.json"
LIMIT_BYTES = 64 << 20  # unpacked; large nodes have about 5 MB
LIMIT_FILES = 20_000
_FOLDERS = ("pipes/", "systems/")
_HEAD = 30  # bytes before each file's name
# NotImplementedError is a version or a way of packing that does not exist.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, struct.error, NotImplementedError)
_SEPARATORS = str.maketrans({"/": "%2F", "\\": "%5C", "\0": "%00"})


class BadArchive(Exception):
    """This is no configuration. `str(error)` continues “The node's configuration …”."""

    def __init__(self, text: str, *, cut: bool = False) -> None:
        super().__init__(text)
        self.cut = cut  # it may have been damaged on its way: asking again can help


class Archive:
    """A zip whose directory was read and whose files were not, since an unchanged one need not be unpacked."""

    def __init__(self, data: bytes, *, limit_bytes: int = LIMIT_BYTES, limit_files: int = LIMIT_FILES) -> None:
        """Raises BadArchive for what is no zip, and for one that says that it would become too large."""
        self._data = data
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                infos = [info for info in archive.infolist() if not info.is_dir()]
        except _DAMAGE as error:
            raise BadArchive(f"is not a sound zip: {error}", cut=True) from None
        if len(infos) > limit_files:
            raise BadArchive(f"has {len(infos)} files; {limit_files} are the limit.")
        if sum(info.file_size for info in infos) > limit_bytes:
            raise BadArchive(f"unpacks to more than {limit_bytes >> 20} MB.")
        self._infos = {info.filename: info for info in infos}
        if len(self._infos) < len(infos):
            raise BadArchive("has two files of one name.")

    @cached_property
    def digest(self) -> str:
        """Over names and packed contents; a zip's order and times do not matter.

        The same digest is the same configuration. Another is another one, or the same packed by another program:
        that costs one comparison, while unpacking each time would cost five times as much as all the rest.
        """
        return files_digest({name: self._packed(info) for name, info in self._infos.items()})

    def _packed(self, info: zipfile.ZipInfo) -> bytes:
        at = info.header_offset
        head = self._data[at : at + _HEAD]
        if len(head) < _HEAD or head[:4] != b"PK\3\4":
            raise BadArchive(f"is not a sound zip: {info.filename} is not where it should be.", cut=True)
        # The lengths of the name and of what else stands before the content.
        start = at + _HEAD + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        what = f"{info.compress_type} {info.CRC} {info.file_size} ".encode()
        return what + self._data[start : start + info.compress_size]

    def files(self) -> dict[str, bytes]:
        """The contents, by path. Raises BadArchive."""
        try:
            with zipfile.ZipFile(io.BytesIO(self._data)) as archive:
                return {name: _unpacked(archive, info) for name, info in self._infos.items()}
        except _DAMAGE as error:
            raise BadArchive(f"is not a sound zip: {error}", cut=True) from None
        except RuntimeError as error:  # encrypted
            raise BadArchive(f"cannot be unpacked: {error}") from None


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Raises BadZipFile for a file that is another than the zip says."""
    with archive.open(info) as file:
        # With a number: without one, all is unpacked first and cut to the promised size afterwards.
        return file.read(info.file_size + 1)


def archive_made(entities: Iterable[Entity]) -> bytes:
    """The zip that a node takes. The same entities make the same bytes, in whatever order they come."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entity in sorted(entities, key=lambda one: one.id):
            # The earliest time that a zip can say, so that the clock does not show.
            info = zipfile.ZipInfo(file_name(entity), (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, _text(entity.value), zipfile.ZIP_DEFLATED, 6)
    return buffer.getvalue()


def file_name(entity: Entity) -> str:
    """Where a node wants an entity. What is neither system nor metadata goes to the pipes, where a node names it."""
    if entity.kind == "metadata":
        return METADATA
    folder = "systems" if entity.kind == "system" else "pipes"
    # A node goes by the `_id` inside; no id may lead out of the folder.
    return f"{folder}/{entity.id.translate(_SEPARATORS)}.conf.json"


def list_made(entities: Iterable[Entity]) -> bytes:
    """The JSON list that a node takes as well."""
    return b"[" + b",".join(_text(one.value) for one in sorted(entities, key=lambda one: one.id)) + b"]"


def _text(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(
        "utf-8", "surrogatepass"
    )


def list_files(data: bytes) -> dict[str, bytes]:
    """What a zip would have, of a JSON list of entities, for nodes that answer with one."""
    try:
        entities = json_read(data, "The list")
    except JsonProblem as problem:
        raise BadArchive(f"cannot be read: {problem}", cut=True) from None
    if not isinstance(entities, list):
        raise BadArchive("is neither a zip nor a list.")
    if len(entities) > LIMIT_FILES:
        raise BadArchive(f"has {len(entities)} entities; {LIMIT_FILES} are the limit.")
    texts = [json.dumps(one, sort_keys=True).encode() for one in entities]
    return {f"pipes/{number}.conf.json": text for number, text in enumerate(sorted(texts))}


def files_digest(files: Mapping[str, bytes]) -> str:
    """A digest of names and contents, in whatever order."""
    digest = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode("utf-8", "surrogateescape"), files[name]):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()


def configuration_read(files: Mapping[str, bytes]) -> Configuration:
    """The entities in a node's files, and the names of those that the node itself does not understand."""
    if is_overfull(files.values()):
        raise BadArchive(f"has more than {MOST_VALUES:,} values; the panel does not read as many.")
    entities: dict[str, Entity] = {}
    unknown = []
    for name in sorted(files):
        value = _entity_value(name, files[name])
        if value is None:
            unknown.append(name.removeprefix("unknown/"))
            continue
        entity = Entity(id=str(value["_id"]), value=value)
        if has_halves(entity.id):
            raise BadArchive(f"has an entity whose _id is no text: {shown(entity.id[:80])}.")
        if entity.id in entities:
            raise BadArchive(f"has two entities with the _id {entity.id}.")
        entities[entity.id] = entity
    return Configuration(entities=entities, unknown=tuple(unknown))


def _entity_value(name: str, content: bytes) -> dict[str, object] | None:
    """What a file says; None for what is no entity."""
    if name != METADATA and not (name.startswith(_FOLDERS) and name.endswith(".json")):
        return None
    try:
        value = json_read(content, name)
    except JsonProblem as problem:
        raise BadArchive(f"cannot be read: {problem}") from None
    return value if isinstance(value, dict) and isinstance(value.get("_id"), str) else None
