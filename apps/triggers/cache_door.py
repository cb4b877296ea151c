"""A short way to the old protocol's file cache: past the middleware, which nobody who calls there needs.

The usual way holds a thread for each caller as long as the panel downloads for it, and refuses an address of the panel
that is no name of its pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

PATHS = frozenset({"/cache", "/cache/s3", "/prostagma/cache", "/prostagma/cache/s3"})


class CacheDoor:
    """ASGI: answers the cache's addresses, and hands everything else to `application`."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._plain = _PlainHandler()
        self._plain.load_middleware()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] in PATHS:
            await self._plain(scope, receive, send)
        else:
            await self._application(scope, receive, send)


class _PlainHandler(ASGIHandler):
    """Django's own, without any middleware."""

    def load_middleware(self, is_async: bool = True) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        self._middleware_chain: Any = convert_exception_to_response(cast(Any, self)._get_response_async)
