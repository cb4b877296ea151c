"""The web process: Django for HTTP, Channels for WebSockets. Run by uvicorn."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any, cast

# Before settings are read: the web process keeps no database connections (see environment.database).
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploypanel.settings")
os.environ.setdefault("DEPLOYPANEL_ROLE", "web")

if TYPE_CHECKING:
    from collections.abc import Callable


async def lifespan(_scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """The server starts and stops: on stopping, the tailer's thread ends and gives its connection back."""
    from apps.runs.live import tailer

    while True:
        event = (await receive())["type"]
        if event == "lifespan.shutdown":
            tailer.stop()
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


async def no_such_socket(_scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """Any other WebSocket address: refused at the handshake, without a traceback in the log."""
    await receive()
    await send({"type": "websocket.close", "code": 4404})


def build() -> Any:
    """The application. The imports wait until Django is set up, for they bring models with them."""
    from django.core.asgi import get_asgi_application

    http = get_asgi_application()

    from channels.routing import ProtocolTypeRouter, URLRouter
    from channels.sessions import CookieMiddleware
    from django.urls import path

    from apps.runs.routing import websocket_urlpatterns
    from apps.triggers.desk import Desk
    from deploypanel.origin import OriginCheck

    routes = URLRouter([*websocket_urlpatterns, path("<path:_>", cast(Any, no_such_socket))])
    return ProtocolTypeRouter(
        {"http": Desk(http), "websocket": OriginCheck(CookieMiddleware(routes)), "lifespan": lifespan}
    )


application = build()
# What is loaded by now stays: the collector need not walk through it again and again while requests wait.
gc.collect()
gc.freeze()
