"""The web process: uvicorn on a socket that the supervisor has bound, `python -m deploypanel.web FD`.

The supervisor keeps the socket, so that callers wait for a moment instead of being refused while the web
process is started again.
"""

from __future__ import annotations

import os
import socket
import sys

import uvicorn

MESSAGE_MOST = 1024 * 1024  # bytes of one message on a WebSocket, which is held in memory before anybody looks at it
GRACE = 3  # seconds for open requests at a stop; an open WebSocket would else hold it up for ever


def main(descriptor: int) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploypanel.settings")
    from django.conf import settings

    config = uvicorn.Config(
        "deploypanel.asgi:application",
        log_level="warning",
        access_log=False,
        server_header=False,
        # Packing each frame anew for each of fifty viewers costs more than a core.
        ws_per_message_deflate=False,
        ws_max_size=MESSAGE_MOST,
        timeout_graceful_shutdown=GRACE,
        proxy_headers=settings.BEHIND_PROXY,
        forwarded_allow_ips="*" if settings.BEHIND_PROXY else "",
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
