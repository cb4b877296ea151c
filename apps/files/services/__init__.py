"""Every act on cached files."""

from __future__ import annotations

from apps.files.services.ask import WAIT, file_ask, file_by_sha256, file_fetch, file_kept

__all__ = ["WAIT", "file_ask", "file_by_sha256", "file_fetch", "file_kept"]
