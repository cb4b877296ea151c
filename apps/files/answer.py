"""A cached file as the answer to a request: streamed, in parts where it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from apps.files.models import CachedFile


async def file_answer(request: HttpRequest, cached: CachedFile) -> HttpResponseBase:
    """200, 206, 304 or 416, as a static file is answered. Raises FileMissing when it has left the cache meanwhile."""
    raise NotImplementedError
