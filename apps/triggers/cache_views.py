"""The old protocol's file cache: `/cache` and `/cache/s3`, with the old server's statuses and empty bodies.

POST has the panel download, and answers when the file is there; GET sends what is kept. A reason stands in a header,
for those whose secret is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt

from apps.access.errors import PanelError
from apps.files.answer import file_answer
from apps.files.errors import FileError, FileNotStored, FileTooLarge
from apps.files.services import file_fetch, file_kept
from apps.triggers import old_protocol
from apps.triggers.body import body_of
from apps.triggers.errors import BadBody, TooLarge, Unreadable
from apps.triggers.fire_views import header_text
from apps.triggers.services.secrets import server_secret_opens

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


@csrf_exempt  # it has no cookie of ours: the body holds the secret
async def old_cache(request: HttpRequest) -> HttpResponseBase:
    """200; 404 when it cannot be fetched, or is not kept; 500 when it cannot be stored."""
    return await _answered(request, s3=False)


@csrf_exempt
async def old_cache_s3(request: HttpRequest) -> HttpResponseBase:
    """The same for `s3://BUCKET/KEY`, with 500 for all that fails."""
    return await _answered(request, s3=True)


async def _answered(request: HttpRequest, *, s3: bool) -> HttpResponseBase:
    if request.method not in {"GET", "POST"}:
        return _empty(405, Allow="GET, POST")
    try:
        call = old_protocol.call_read(await sync_to_async(body_of)(request, old_protocol.BODY_MOST))
    except (BadBody, Unreadable):
        return _empty(400)
    except TooLarge:
        return _empty(413)
    if not await sync_to_async(server_secret_opens)(call.secret):
        return _empty(403, **{"X-Deploypanel-Reason": "The secret is missing or wrong."})
    try:
        if request.method == "POST":
            return await _downloaded(call.url, s3=s3)
        return await _sent(request, call.url)
    except PanelError as error:
        return _refusal(error, request.method or "", s3=s3)


async def _downloaded(url: str, *, s3: bool) -> HttpResponse:
    if url.strip().startswith("s3://") != s3:
        told = "This route is for s3://BUCKET/KEY." if s3 else "This route is for http:// and https://."
        raise FileError(told)
    await file_fetch(url, cache=False, by="old client")
    return _empty(200)


async def _sent(request: HttpRequest, url: str) -> HttpResponseBase:
    kept = await sync_to_async(file_kept)(url)
    if kept is None:
        return _empty(404, **{"X-Deploypanel-Reason": "It is not in the cache."})
    return await file_answer(request, kept)


def _refusal(error: PanelError, method: str, *, s3: bool) -> HttpResponse:
    is_origins = not isinstance(error, FileNotStored | FileTooLarge)
    status = 404 if is_origins and (method == "GET" or not s3) else 500
    return _empty(status, **{"X-Deploypanel-Reason": header_text(str(error))})


def _empty(status: int, **headers: str) -> HttpResponse:
    response = HttpResponse(status=status, headers={"Content-Length": "0", **headers})
    del response.headers["Content-Type"]  # of nothing
    return response
