"""How an attempt ended, written once, by who still has the claim."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.db.models import F
from django.utils import timezone

from apps.access.errors import PanelError
from apps.files import storage
from apps.files.models import CachedFile

if TYPE_CHECKING:
    from apps.files.intake import Got
    from apps.files.models import CacheSettings

logger = logging.getLogger(__name__)
_GOOD: dict[str, Any] = {"failure": "", "fault": ""}


def attempt_kept(*, row: CachedFile, claim: str, got: Got, stored_as: str, settings: CacheSettings) -> bool:
    """There is a new content. What was kept until now is deleted; the new one, when the claim is lost."""
    now = timezone.now()
    told = _told(got)
    came = {"sha256": got.sha256, "size": got.size, "stored_as": stored_as, "stored_at": now, "fetched_at": now}
    counted = {"downloads": F("downloads") + 1, "bytes_fetched": F("bytes_fetched") + got.size}
    ended = _end(row, claim, **_GOOD, **told, **came, **counted, used_at=now)
    dropped(row.stored_as if ended else stored_as, settings)
    return ended


def attempt_unchanged(*, row: CachedFile, claim: str, got: Got) -> bool:
    """What is kept is still what the origin has: it said so, or sent the same again."""
    more: dict[str, Any] = {}
    if not got.unchanged:
        more = _told(got) | {"downloads": F("downloads") + 1, "bytes_fetched": F("bytes_fetched") + got.size}
    now = timezone.now()
    return _end(row, claim, **_GOOD, **more, fetched_at=now, used_at=now)


def attempt_failed(*, row: CachedFile, claim: str, fault: str, sentence: str) -> bool:
    """What was kept stays."""
    return _end(row, claim, failure=_printable(sentence)[:300], fault=fault, failed_at=timezone.now())


def dropped(stored_as: str, settings: CacheSettings) -> None:
    """Delete a content that no row names any more. One in a bucket out of reach stays there, and the log tells."""
    try:
        storage.drop(stored_as, settings)
    except (PanelError, OSError) as error:
        logger.warning("A file of the cache is not needed any more and could not be deleted: %s: %s", stored_as, error)


def _told(got: Got) -> dict[str, Any]:
    names = ("content_type", "etag", "last_modified")
    return {name: _printable(getattr(got, name)) for name in names}


def _printable(text: str) -> str:
    """Origins send what they like; databases take no NUL."""
    return "".join(letter for letter in text if letter.isprintable())


def _end(row: CachedFile, claim: str, **values: Any) -> bool:
    mine = CachedFile.objects.filter(pk=row.pk, claimed_by=claim)
    return bool(mine.update(claimed_by="", claimed_at=None, attempt_ended=F("attempt"), **values))
