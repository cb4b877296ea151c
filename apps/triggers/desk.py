"""A short way to the hooks: all calls that arrive together are answered by one thread with one connection.

Forges send bursts. Through the usual way each call costs a thread, a database connection and the session's
and the admin's middleware, of which a hook needs nothing. Here the body is read by the event loop, and a
single thread takes what has arrived, one after the other, and reads once what is the same for all (burst.py), so
that fifty at once wait for each other's millisecond of work and for nothing else. The view, and so every answer,
is the same.
"""

from __future__ import annotations

import asyncio
import io
import logging
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections, reset_queries
from django.http import HttpResponse, JsonResponse

from apps.triggers.burst import burst
from apps.triggers.views import hook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[Mapping[str, Any]]]
    Send = Callable[[Mapping[str, Any]], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)
PREFIX = "/hooks/"
ROOM = 8  # bodies of the largest size that are held at the same time: nobody has shown who he is yet
READ_TIMEOUT = 60.0  # seconds for a body to arrive


class NoRoom(Exception):
    """More arrives at once than is held in memory."""


@dataclass
class Knock:
    """One call that waits for its answer."""

    scope: Scope
    body: bytes
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[HttpResponse]

    def settle(self, response: HttpResponse) -> None:
        """From the desk's thread. The loop may be gone: then nobody waits any more."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(_set, self.answer, response)


def _set(answer: asyncio.Future[HttpResponse], response: HttpResponse) -> None:
    if not answer.done():
        answer.set_result(response)


class HookDesk:
    """ASGI: answers `POST /hooks/…` itself, and hands everything else to `application`."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._waiting: queue.SimpleQueue[Knock] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._held = 0  # bytes of bodies, counted on the event loop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(PREFIX):
            await self._application(scope, receive, send)
            return
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                if not await self._read(receive, parts):
                    return  # the caller has gone
            answer = await self._answered(scope, b"".join(parts))
        except TimeoutError:
            return
        except NoRoom:
            answer = JsonResponse({"error": "Too many calls at once. Send the delivery again."}, status=503)
        finally:
            self._held -= sum(map(len, parts))
        await _write(send, answer)

    async def _read(self, receive: Receive, parts: list[bytes]) -> bool:
        """The body, into `parts`; of what is over the limit one byte is kept, so that the view refuses it.

        False when the caller has gone. Raises NoRoom when all the calls that arrive together are too much.
        """
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            part = message.get("body", b"")
            kept = part[: max(0, settings.HOOK_BODY_LIMIT + 1 - size)]
            parts.append(kept)
            self._held += len(kept)
            if self._held > ROOM * settings.HOOK_BODY_LIMIT:
                raise NoRoom
            size += len(part)
            more = message.get("more_body", False)
        return True

    async def _answered(self, scope: Scope, body: bytes) -> HttpResponse:
        loop = asyncio.get_running_loop()
        knock = Knock(scope, body, loop, loop.create_future())
        self._open()
        self._waiting.put(knock)
        return await knock.answer

    def _open(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._serve, name="hooks", daemon=True)
                    self._thread.start()

    def _serve(self) -> None:
        while True:
            waiting = [self._waiting.get()]
            close_old_connections()
            while waiting:  # all with the same connection
                with burst():
                    for knock in waiting:
                        knock.settle(_answer(knock))
                waiting = self._taken()
            reset_queries()
            close_old_connections()

    def _taken(self) -> list[Knock]:
        """All that wait now."""
        taken: list[Knock] = []
        with suppress(queue.Empty):
            while True:
                taken.append(self._waiting.get_nowait())
        return taken


def _answer(knock: Knock) -> HttpResponse:
    try:
        request = ASGIRequest(dict(knock.scope), io.BytesIO(knock.body))
        return hook(request, knock.scope["path"].removeprefix(PREFIX))
    except Exception:  # as Django does around every view; the forge sends it again
        logger.exception("A hook failed.")
        return JsonResponse({"error": "The panel failed; its log says why. Send the delivery again."}, status=500)


async def _write(send: Send, response: HttpResponse) -> None:
    headers = {**response.headers, "X-Content-Type-Options": "nosniff"}
    if response.status_code != 204:
        headers["Content-Length"] = str(len(response.content))
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status_code, "headers": raw})
    await send({"type": "http.response.body", "body": response.content})
