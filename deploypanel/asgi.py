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

AGENTS = "/agent/socket"


async def lifespan(_scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """The server starts and stops: on stopping, its threads end and give their connections back."""
    from apps.agents.door import doors_close
    from apps.runs.live import tailer

    while True:
        event = (await receive())["type"]
        if event == "lifespan.shutdown":
            tailer.stop()
            await doors_close()
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

    from apps.agents.consumers import agent_socket
    from apps.agents.polls import AgentPolls
    from apps.runs.routing import websocket_urlpatterns
    from apps.triggers.cache_door import CacheDoor
    from apps.triggers.desk import Desk
    from deploypanel.body_limit import BodyLimit
    from deploypanel.origin import OriginCheck

    routes = URLRouter([*websocket_urlpatterns, path("<path:_>", cast(Any, no_such_socket))])
    pages = OriginCheck(CookieMiddleware(routes))

    async def sockets(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        """Agents are programs that show a key: where they say they come from means nothing."""
        await (agent_socket if scope["path"] == AGENTS else pages)(scope, receive, send)

    calls = AgentPolls(Desk(BodyLimit(CacheDoor(http))))
    return ProtocolTypeRouter({"http": calls, "websocket": sockets, "lifespan": lifespan})


application = build()
# What is loaded by now stays: the collector need not walk through it again and again while requests wait.
gc.collect()
gc.freeze()
