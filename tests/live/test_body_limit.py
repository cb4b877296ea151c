"""How much a caller who has shown nothing yet can send: on the wire, to a real web process."""

from __future__ import annotations

import select
import socket

import pytest
import uvicorn

from deploypanel import web
from deploypanel.body_limit import PROGRAMS_MOST, limit_of
from tests.live.server import WebServer

PIECE = b"10000\r\n" + b" " * 65536 + b"\r\n"
MOST = 24 * 1024 * 1024  # bytes that a test sends; what the kernel holds on the way is far less


@pytest.mark.django_db(transaction=True)
def test_a_body_without_end_is_refused_before_it_fills_the_disk(web_server: WebServer) -> None:
    for path in ("/cache", "/prostagma/cache/s3", "/agent/enrol", "/agent/files"):
        status, sent = _endless(web_server.port, path)
        assert (path, status) == (path, b"HTTP/1.1 413")
        assert sent < MOST


def _endless(port: int, path: str) -> tuple[bytes, int]:
    """The beginning of the answer, and how many bytes could be sent until it came."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        sent = 0
        while sent < MOST and not select.select([connection], [], [], 0)[0]:
            try:
                connection.sendall(PIECE)
            except (ConnectionError, TimeoutError):
                break
            sent += len(PIECE)
        connection.settimeout(30)
        return connection.recv(12), sent


def test_forms_may_be_longer_than_what_programs_send() -> None:
    assert limit_of("/agent/enrol") == limit_of("/cache/s3") == PROGRAMS_MOST
    assert limit_of("/admin/environments/environment/1/change/") > 25 * 1024 * 1024


def test_messages_on_websockets_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvicorn holds up to 16 MiB of each message in memory, also of those who have shown no key yet."""
    configs: list[uvicorn.Config] = []

    def run(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        configs.append(server.config)
        sockets[0].close()

    monkeypatch.setattr(uvicorn.Server, "run", run)
    with socket.socket() as listening:
        web.main(listening.detach())
    assert configs[0].ws_max_size == 1024 * 1024
