"""Reads of the file cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Sum

from apps.files.address import url_digest
from apps.files.models import CachedFile, CacheSettings

if TYPE_CHECKING:
    from django.db.models import QuerySet


def cache_settings() -> CacheSettings:
    """What holds; the first form while nobody has set anything."""
    return CacheSettings.objects.order_by("pk").first() or CacheSettings()


def files_kept() -> QuerySet[CachedFile]:
    """Rows of which there is a content."""
    return CachedFile.objects.exclude(stored_as="")


def file_of(url: str) -> CachedFile | None:
    return CachedFile.objects.filter(url_digest=url_digest(url)).first()


def bytes_kept() -> int:
    return int(files_kept().aggregate(total=Sum("size"))["total"] or 0)
