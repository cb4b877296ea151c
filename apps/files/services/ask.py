"""Somebody wants a file: answer from what is kept, or have it downloaded."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.utils import timezone

from apps.files import claims, storage
from apps.files.address import address_read, url_digest, url_shown
from apps.files.errors import FileError, FileNotStored, error_of
from apps.files.guard import Guard
from apps.files.models import CachedFile, FileWish
from apps.files.selectors import cache_settings, file_of, files_kept
from apps.files.services.download import file_download_start

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)
WAIT = 0.5  # seconds after which it is worth asking again
FETCH_TIMEOUT = 1800.0  # seconds
JOIN = timedelta(seconds=5)  # so old may a download be that answers who wants one anew
ASKING = timedelta(seconds=30)  # who has not come again by then has given up
SEEN = timedelta(seconds=5)  # between two notes that somebody still waits
SHORTEST, LONGEST = 0.02, 0.5  # seconds between two looks
LONGEST_NAME = 120
# Where the origin has nothing to say, a kept copy is better than nothing for who takes one.
_SILENT = {CachedFile.Fault.FAILED, CachedFile.Fault.NOT_STORED}


def file_ask(*, url: str, cache: bool, by: str = "", sha256: str = "") -> CachedFile | None:
    """The file of that address, or None while it is downloaded: ask again, with the same arguments, after WAIT.

    With `cache`, what is kept is good when the origin says that it has not changed, or fails to say anything; without,
    it is downloaded anew. `by` names who asks, and comes again. What is kept with the checksum `sha256` is good at
    once. Takes a few milliseconds. Raises FileRefused, FileMissing, FileError (`.status` is HTTP's).
    """
    row = _row(url)
    if sha256 and row.sha256 == sha256.lower() and storage.is_there(row.stored_as):
        return row
    wish = _wish(row, cache, by[:LONGEST_NAME])
    if not _advance(row, url, cache, wish.attempt):
        return None
    FileWish.objects.filter(pk=wish.pk).delete()
    return _outcome(row, cache)


async def file_fetch(url: str, *, cache: bool, by: str = "", timeout: float = FETCH_TIMEOUT) -> CachedFile:
    """The same, and waits for it, `timeout` seconds at most."""
    logger.debug("%s waits for %s.", by or "Somebody", url_shown(url)[:200])
    ends, needed = time.monotonic() + timeout, 0
    pauses = _pauses()
    while True:
        found, needed = await sync_to_async(_looked)(url, cache, needed)
        if found is not None:
            return found
        if time.monotonic() >= ends:
            raise FileError(f"{url_shown(url)[:200]} did not come in {timeout:g} seconds.")
        await asyncio.sleep(next(pauses))


def file_kept(url: str) -> CachedFile | None:
    """What is kept of that address, without a question to its origin; None: nothing."""
    row = file_of(url)
    return row if row is not None and storage.is_there(row.stored_as) else None


def file_by_sha256(sha256: str) -> CachedFile | None:
    """A kept file with that checksum."""
    rows = files_kept().filter(sha256=sha256.lower())[:20]
    return next((row for row in rows if storage.is_there(row.stored_as)), None)


def _looked(url: str, cache: bool, needed: int) -> tuple[CachedFile | None, int]:
    row = _row(url)
    needed = needed or _good_enough(row, cache)
    return (_outcome(row, cache) if _advance(row, url, cache, needed) else None), needed


def _row(url: str) -> CachedFile:
    """Raises FileRefused for an address that may not be asked."""
    address = address_read(url)
    Guard.of(cache_settings()).admit(address)
    found = file_of(url)
    if found is None:
        shown = {"url": url_shown(url.strip()), "used_at": timezone.now()}
        found, _ = CachedFile.objects.get_or_create(url_digest=url_digest(url), defaults=shown)
    return found


def _wish(row: CachedFile, cache: bool, by: str) -> FileWish:
    """What this asker waits for; noted at the first question, so that the second is not taken for a new one."""
    now = timezone.now()
    wish = FileWish.objects.filter(file=row, by=by).first()
    if wish is None or wish.asked_at < now - ASKING:
        noted = {"attempt": _good_enough(row, cache), "asked_at": now}
        wish, _ = FileWish.objects.update_or_create(file=row, by=by, defaults=noted)
    elif wish.asked_at < now - SEEN:
        FileWish.objects.filter(pk=wish.pk).update(asked_at=now)
    return wish


def _good_enough(row: CachedFile, cache: bool) -> int:
    """The number of the first attempt whose outcome answers a question that is asked now.

    All who ask at about the same time share one. A download that began a while ago may bring what was there before
    the reason for asking; it does for who takes a copy.
    """
    if not claims.is_live(row):
        return row.attempt + 1
    is_young = row.began_at is not None and row.began_at > timezone.now() - JOIN
    return row.attempt if cache or is_young else row.attempt + 1


def _advance(row: CachedFile, url: str, cache: bool, needed: int) -> bool:
    """Whether that attempt has ended; starts it where nobody is at it."""
    if row.attempt_ended >= needed:
        return True
    if not claims.is_live(row):
        file_download_start(row=row, url=url, cache=cache)
    return False


def _outcome(row: CachedFile, cache: bool) -> CachedFile:
    is_kept = storage.is_there(row.stored_as)
    if row.failure and not (cache and is_kept and row.fault in _SILENT):
        raise error_of(row.fault, row.failure)
    if not is_kept:
        raise FileNotStored("It came, and left the cache at once: the cache is too small.")
    return row


def _pauses() -> Iterator[float]:
    pause = SHORTEST
    while True:
        yield pause
        pause = min(pause * 1.5, LONGEST)
