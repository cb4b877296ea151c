"""How large a request may be, however it is sent: Django would write any body whole to the disk before a view is asked.

What has a limit of its own (the desk, the polls of agents) is answered before it comes here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Receive = Callable[[], Awaitable[Mapping[str, Any]]]
    Send = Callable[[Mapping[str, Any]], Awaitable[None]]
    Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

PROGRAMS = ("/agent/", "/cache", "/prostagma/", "/metrics", "/health")
PROGRAMS_MOST = 1024 * 1024  # bytes: less than Django writes to the disk; their views say what they take
PAGES_SPARE = 1024 * 1024  # bytes over what a form may have, so that the form's own refusal is the one that is seen


class _TooLong(Exception):
    """More came than this request may have."""


class BodyLimit:
    """ASGI: 413, and the end of the connection, for a body that is over the limit."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            await self._application(scope, _counted(receive, limit_of(scope["path"])), send)
        except _TooLong:
            headers = [(b"content-length", b"0"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 413, "headers": headers})
            await send({"type": "http.response.body", "body": b""})


def limit_of(path: str) -> int:
    """In bytes."""
    return PROGRAMS_MOST if path.startswith(PROGRAMS) else settings.HOOK_BODY_LIMIT + PAGES_SPARE


def _counted(receive: Receive, limit: int) -> Receive:
    size = 0

    async def counted() -> Mapping[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise _TooLong
        return message

    return counted
