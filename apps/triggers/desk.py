"""A short way to what programs call: calls that arrive together are answered by one thread with one connection.

Forges and pipelines send bursts, and old clients ask every five seconds. Through the usual way each call costs a
thread, a database connection and the session's and the admin's middleware, of which these need nothing. Here the
body is read by the event loop, and a single thread for each kind of call takes what has arrived, one after the
other, and reads once what is the same for all (burst.py), so that fifty at once wait for each other's millisecond
of work and for nothing else. The views, and so all answers, are the same.
"""

from __future__ import annotations

import asyncio
import io
import logging
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections, connections, reset_queries
from django.http import HttpResponse, JsonResponse

from apps.triggers.burst import burst
from apps.triggers.fire_views import FIRE_BODY_MOST, fire, old_trigger
from apps.triggers.views import hook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from django.http import HttpRequest

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[Mapping[str, Any]]]
    Send = Callable[[Mapping[str, Any]], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]
    View = Callable[[HttpRequest], HttpResponse]

logger = logging.getLogger(__name__)
HOOKS, FIRES = "/hooks/", ("/triggers/", "/fire")
OLD = {"/trigger", "/prostagma/trigger"}
READ_TIMEOUT = 60.0  # seconds for a body to arrive
LINGER = 1.0  # seconds that the connection is kept for the next call: opening one costs more than most answers


class NoRoom(Exception):
    """More arrives at once than is held in memory."""


@dataclass
class Room:
    """For bodies of callers who have not shown yet who they are. Counted on the event loop."""

    places: int  # bodies of the largest size that are held at the same time
    held: int = 0  # bytes

    async def read(self, receive: Receive, parts: list[bytes], limit: int) -> bool:
        """The body, into `parts`; of what is over the limit one byte is kept, so that the view refuses it.

        False when the caller has gone. Raises NoRoom when all the calls that arrive together are too much.
        """
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            part = message.get("body", b"")
            kept = part[: max(0, limit + 1 - size)]
            parts.append(kept)
            self.held += len(kept)
            if self.held > self.places * limit:
                raise NoRoom
            size += len(part)
            more = message.get("more_body", False)
        return True


@dataclass
class Knock:
    """One call that waits for its answer."""

    scope: Scope
    view: View
    body: bytes
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[HttpResponse]

    def settle(self, response: HttpResponse) -> None:
        """From the counter's thread. The loop may be gone: then nobody waits any more."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(_set, self.answer, response)


def _set(answer: asyncio.Future[HttpResponse], response: HttpResponse) -> None:
    if not answer.done():
        answer.set_result(response)


class Counter:
    """Answers one kind of call with one thread."""

    def __init__(self, name: str, places: int) -> None:
        self.room = Room(places)
        self._name = name
        self._waiting: queue.SimpleQueue[Knock] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    async def serve(self, scope: Scope, receive: Receive, send: Send, view: View, limit: int) -> None:
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                if not await self.room.read(receive, parts, limit):
                    return  # the caller has gone
            answer = await self._answered(scope, view, b"".join(parts))
        except TimeoutError:
            return
        except NoRoom:
            answer = JsonResponse({"error": "Too many calls at once. Send it again."}, status=503)
        finally:
            self.room.held -= sum(map(len, parts))
        await _write(send, answer)

    async def _answered(self, scope: Scope, view: View, body: bytes) -> HttpResponse:
        loop = asyncio.get_running_loop()
        knock = Knock(scope, view, body, loop, loop.create_future())
        self._open()
        self._waiting.put(knock)
        return await knock.answer

    def _open(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                    self._thread.start()

    def _work(self) -> None:
        while True:
            waiting = [self._waiting.get()]
            close_old_connections()
            while waiting:  # all with the same connection
                with burst():
                    for knock in waiting:
                        knock.settle(_answer(knock))
                reset_queries()
                waiting = [] if _is_broken() else self._taken()
            close_old_connections()

    def _taken(self) -> list[Knock]:
        """All that wait now, or the first that comes soon."""
        taken: list[Knock] = []
        with suppress(queue.Empty):
            taken.append(self._waiting.get(timeout=LINGER))
            while True:
                taken.append(self._waiting.get_nowait())
        return taken


class Desk:
    """ASGI: answers what programs call itself, and hands everything else to `application`."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.hooks = Counter("hooks", places=8)
        self.fires = Counter("fires", places=1000)  # much smaller bodies, of more callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http":
            await self._application(scope, receive, send)
        elif scope["method"] == "POST" and path.startswith(HOOKS):
            view = partial(hook, forge=path.removeprefix(HOOKS))
            await self.hooks.serve(scope, receive, send, view, settings.HOOK_BODY_LIMIT)
        elif path in OLD:
            await self.fires.serve(scope, receive, send, old_trigger, FIRE_BODY_MOST)
        elif name := _fired(path):
            await self.fires.serve(scope, receive, send, partial(fire, name=name), FIRE_BODY_MOST)
        else:
            await self._application(scope, receive, send)


def _fired(path: str) -> str:
    """The trigger's name in `/triggers/NAME/fire`, empty for another path."""
    before, after = FIRES
    if path.startswith(before) and path.endswith(after):
        return path[len(before) : -len(after)]
    return ""


def _is_broken() -> bool:
    """Whether the database has failed on this thread's connection: the next call gets a new one."""
    return any(connection.errors_occurred for connection in connections.all(initialized_only=True))


def _answer(knock: Knock) -> HttpResponse:
    try:
        return knock.view(ASGIRequest(dict(knock.scope), io.BytesIO(knock.body)))
    except Exception:  # as Django does around every view; a forge sends it again
        logger.exception("A call of %s failed.", knock.scope["path"])
        return JsonResponse({"error": "The panel failed; its log says why. Send it again."}, status=500)


async def _write(send: Send, response: HttpResponse) -> None:
    headers = {**response.headers, "X-Content-Type-Options": "nosniff"}
    if response.status_code != 204:
        headers["Content-Length"] = str(len(response.content))
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status_code, "headers": raw})
    await send({"type": "http.response.body", "body": response.content})
