"""A file is served."""

from __future__ import annotations

from django.db.models import F
from django.utils import timezone

from apps.files.models import CachedFile


def file_used(*, row: CachedFile, size: int) -> None:
    """Count it, with the bytes that are sent, and keep it from leaving before others."""
    CachedFile.objects.filter(pk=row.pk).update(
        hits=F("hits") + 1, bytes_served=F("bytes_served") + size, used_at=timezone.now()
    )
