"""A file is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import F
from django.utils import timezone

from apps.files import storage
from apps.files.errors import FileMissing
from apps.files.models import CachedFile
from apps.files.selectors import cache_settings
from apps.files.services.evict import file_let_go

if TYPE_CHECKING:
    from collections.abc import Iterator

TRIES = 3  # where a file is replaced just when it is opened


def file_used(*, row: CachedFile, size: int) -> None:
    """Count it, with the bytes that are sent, and keep it from leaving before others."""
    CachedFile.objects.filter(pk=row.pk).update(
        hits=F("hits") + 1, bytes_served=F("bytes_served") + size, used_at=timezone.now()
    )


def file_open(*, row: CachedFile) -> tuple[CachedFile, storage.Kept]:
    """The content, open, and the row that it belongs to, which may be newer than the one given.

    Raises FileMissing when it has left the cache; FileError when the bucket is out of reach.
    """
    settings, found = cache_settings(), row
    for _ in range(TRIES):
        try:
            return found, storage.kept_open(found.stored_as, settings)
        except FileMissing:
            newer = CachedFile.objects.filter(pk=row.pk).first()
            if newer is None or newer.stored_as == found.stored_as:
                file_let_go(row=found, settings=settings)  # so that who asks next has it downloaded
                raise
            found = newer
    raise FileMissing("It changes all the time. Ask for it again.")


def file_pieces(*, row: CachedFile) -> Iterator[bytes]:
    """All of its bytes, counted as served. Raises what `file_open` raises, before the first piece."""
    row, kept = file_open(row=row)
    try:
        file_used(row=row, size=kept.size)
        yield from kept.pieces(0, kept.size)
    finally:
        kept.close()
