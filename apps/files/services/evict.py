"""What leaves the cache: the least recently used when it is full, what nobody wants any more, and what is deleted."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F, Q

from apps.files import claims, storage
from apps.files.models import CachedFile, FileWish
from apps.files.selectors import bytes_kept, cache_settings, files_kept
from apps.files.services.outcome import dropped
from apps.runs.tally import tally_add

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from apps.files.models import CacheSettings

EMPTY_KEEP = timedelta(days=30)  # rows of which nothing is kept
WISH_KEEP = timedelta(days=1)
PART_KEEP = 24 * 3600.0  # seconds that nobody has written to it
BATCH = 100
_NOTHING: dict[str, Any] = {
    "stored_as": "", "sha256": "", "size": 0, "stored_at": None, "etag": "", "last_modified": ""
}  # fmt: skip


def files_evict(*, settings: CacheSettings, but: int = 0) -> int:
    """Let the least recently used leave until all fit, never the one of number `but`; how many left."""
    over, left = bytes_kept() - settings.total_limit, 0
    while over > 0:
        rows = list(files_kept().exclude(pk=but).order_by(F("used_at").asc(nulls_first=True), "pk")[:BATCH])
        if not rows:
            break
        for row in rows:
            if over <= 0:
                break
            over -= row.size
            left += file_let_go(row=row, settings=settings)
    return left


def file_let_go(*, row: CachedFile, settings: CacheSettings) -> bool:
    """Keep nothing of it any more; False when something else came meanwhile. The row stays, and says what it was."""
    if not files_kept().filter(pk=row.pk, stored_as=row.stored_as).update(**_NOTHING):
        return False
    dropped(row.stored_as, settings)
    return True


def files_delete(*, rows: Iterable[CachedFile]) -> int:
    """Delete rows with what is kept of them. One that is downloaded now comes to nothing."""
    settings, count = cache_settings(), 0
    for row in rows:
        file_let_go(row=row, settings=settings)
        # Something may have come since the row was read; or somebody else has deleted it.
        if (now := CachedFile.objects.filter(pk=row.pk).first()) is not None:
            file_let_go(row=now, settings=settings)
        count += _forget(CachedFile.objects.filter(pk=row.pk))
    return count


def files_prune(now: datetime) -> None:
    """Forget what is not kept and was not wanted for long; sweep out what killed downloads left. Repeatable."""
    files_evict(settings=cache_settings())
    FileWish.objects.filter(asked_at__lt=now - WISH_KEEP).delete()
    old = Q(used_at__lt=now - EMPTY_KEEP) | Q(used_at=None)
    while _forget(CachedFile.objects.filter(old, stored_as="").exclude(claimed_at__gt=now - claims.STALE)[:BATCH]):
        pass
    _sweep()


def _forget(rows: QuerySet[CachedFile]) -> int:
    """Delete rows, but not what they have counted; how many."""
    with transaction.atomic():
        found = list(rows.select_for_update())
        for row in found:
            tally_add("cache", (), [row.hits, row.bytes_served, row.downloads])
        CachedFile.objects.filter(pk__in=[row.pk for row in found]).delete()
    return len(found)


def _sweep() -> None:
    oldest = time.time() - PART_KEEP
    for part in storage.incoming().iterdir():
        with suppress(FileNotFoundError):  # a download has just put it into its place
            if part.stat().st_mtime < oldest:
                part.unlink()
