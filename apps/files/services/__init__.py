"""Every act on cached files."""

from __future__ import annotations

from apps.files.services.ask import WAIT, file_ask, file_by_sha256, file_fetch, file_kept
from apps.files.services.evict import files_delete, files_evict, files_prune
from apps.files.services.trial import store_try
from apps.files.services.use import file_open, file_pieces, file_used

__all__ = [
    "WAIT",
    "file_ask",
    "file_by_sha256",
    "file_fetch",
    "file_kept",
    "file_open",
    "file_pieces",
    "file_used",
    "files_delete",
    "files_evict",
    "files_prune",
    "store_try",
]
