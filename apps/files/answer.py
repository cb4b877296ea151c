"""A cached file as the answer to a request: streamed, in parts where it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.http import HttpResponse, StreamingHttpResponse
from django.utils import timezone

from apps.files.ranges import Version, is_unchanged, part_asked
from apps.files.services.use import file_open, file_used

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from apps.files.models import CachedFile
    from apps.files.storage import Kept


async def file_answer(request: HttpRequest, cached: CachedFile) -> HttpResponseBase:
    """200, 206, 304 or 416, as a static file is answered. Raises FileMissing when it has left the cache meanwhile."""
    row, kept = await sync_to_async(file_open)(row=cached)
    version = Version(row.sha256, row.stored_at or timezone.now())
    if is_unchanged(request.headers, version):
        kept.close()
        unchanged = HttpResponse(status=304)
        del unchanged["Content-Type"]  # there is no content
        return _described(unchanged, version)
    part = part_asked(request.headers, kept.size, version)
    if part is not None and not part[1]:
        kept.close()
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{kept.size}", "Content-Length": "0"})
    begin, length = part or (0, kept.size)
    await sync_to_async(file_used)(row=row, size=length)
    response = StreamingHttpResponse(_Body(kept, begin, length), status=206 if part else 200)
    response["Content-Type"] = "application/octet-stream"  # never what an origin says: a page of it would be ours
    response["Content-Length"] = str(length)
    if part:
        response["Content-Range"] = f"bytes {begin}-{begin + length - 1}/{kept.size}"
    return _described(response, version)


def _described(response: HttpResponseBase, version: Version) -> HttpResponseBase:
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = version.etag
    response["Last-Modified"] = version.last_modified
    response["Cache-Control"] = "no-cache"
    response["X-Content-Type-Options"] = "nosniff"
    return response


class _Body:
    """Read by threads while the event loop goes on; closed even when nobody reads it."""

    def __init__(self, kept: Kept, begin: int, length: int) -> None:
        self._kept = kept
        self._pieces = kept.pieces(begin, length)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = sync_to_async(lambda: next(self._pieces, b""), thread_sensitive=False)
        try:
            while piece := await read():
                yield piece
        finally:
            self.close()

    def close(self) -> None:
        self._kept.close()
