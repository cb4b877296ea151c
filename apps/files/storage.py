"""Where kept files lie: in the data folder, or in a bucket. Each content has a name of its own, never used again.

So what is replaced or thrown away can be deleted at once, whoever else stores something at that moment. What is kept
stays readable when the settings choose the other place for what comes later.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from django.conf import settings as django_settings

from apps.files import s3
from apps.files.errors import FileMissing, FileNotStored
from apps.files.intake import PIECE
from apps.files.models import CacheSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

_GONE = "It has left the cache. Ask for it again."


def incoming() -> Path:
    """The folder of what is not whole yet."""
    return _made(Path(django_settings.DATA_DIR) / "files" / "incoming")


def kept_folder() -> Path:
    return Path(django_settings.DATA_DIR) / "files" / "kept"


def keep(part: Path, sha256: str, settings: CacheSettings) -> str:
    """Put a whole file into its place; what it is found by. Raises FileNotStored."""
    name = f"{sha256[:2]}/{sha256}-{secrets.token_hex(6)}"
    if settings.storage == CacheSettings.Storage.S3:
        key = f"{settings.storage_prefix.strip('/')}/{name}".lstrip("/")
        s3.put(s3.Login.of(settings), settings.storage_bucket, key, part)
        return f"s3:{settings.storage_bucket}/{key}"
    try:
        place = kept_folder() / name
        _made(place.parent)
        part.replace(place)
        _sync_folder(place.parent)
    except OSError as error:
        raise FileNotStored(f"It could not be stored: {error.strerror}.") from None
    return f"folder:{name}"


def drop(stored_as: str, settings: CacheSettings) -> None:
    """Delete what is kept. That it is not there is what was wanted. Raises FileError for a bucket out of reach."""
    kind, _, name = stored_as.partition(":")
    if kind == "s3":
        bucket, _, key = name.partition("/")
        s3.delete(s3.Login.of(settings), bucket, key)
    elif name:
        (kept_folder() / name).unlink(missing_ok=True)


def is_there(stored_as: str) -> bool:
    """Whether what is kept can be read; of a bucket it is believed."""
    kind, _, name = stored_as.partition(":")
    return kind == "s3" or bool(name and (kept_folder() / name).is_file())


@dataclass
class Kept:
    """An open file of the cache; what deletes it meanwhile disturbs nobody who reads it. Close it."""

    size: int
    _file: IO[bytes] | None = None
    _object: tuple[s3.Login, str, str] | None = None

    def pieces(self, start: int, length: int) -> Iterator[bytes]:
        if self._object is not None:
            yield from s3.pieces(*self._object, start, length)
            return
        assert self._file is not None
        self._file.seek(start)
        while length > 0 and (piece := self._file.read(min(PIECE, length))):
            length -= len(piece)
            yield piece

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def kept_open(stored_as: str, settings: CacheSettings) -> Kept:
    """Raises FileMissing when it has gone; for a bucket also FileError."""
    kind, _, name = stored_as.partition(":")
    if kind == "s3":
        bucket, _, key = name.partition("/")
        login = s3.Login.of(settings)
        return Kept(s3.size_of(login, bucket, key), _object=(login, bucket, key))
    try:
        file = (kept_folder() / name).open("rb")
    except OSError:
        raise FileMissing(_GONE) from None
    return Kept(os.fstat(file.fileno()).st_size, _file=file)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
