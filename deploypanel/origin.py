"""Which web pages may open a WebSocket here: our own, and those of origins that the operator trusts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Application = Callable[[dict[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]


def origin_allowed(origin: str | None, host: str) -> bool:
    """Whether a page of `origin` may connect to the panel that was addressed as `host`.

    A browser always names the origin, so without one it is a program, which brings no one else's
    cookies along. The port counts: another site on the same machine is another site.
    """
    if not validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS):
        return False
    if origin is None:
        return True
    own = {urlsplit(settings.PUBLIC_URL).netloc.lower(), host.lower()}
    return origin in settings.CSRF_TRUSTED_ORIGINS or urlsplit(origin).netloc.lower() in own


class OriginCheck:
    """ASGI middleware: refuses the handshake (HTTP 403) of a page that is not ours."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if settings.USE_X_FORWARDED_HOST:
            host = headers.get(b"x-forwarded-host", host)
        if origin_allowed(headers.get(b"origin"), host):
            await self.application(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 4403})
