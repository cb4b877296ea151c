"""A web server on loopback that files are downloaded from, and that can be as bad as it likes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Asked"], None]


class Asked(BaseHTTPRequestHandler):
    """One request. A behaviour answers it by `say`, or by hand."""

    protocol_version = "HTTP/1.1"
    server: _Server  # type: ignore[assignment]

    def do_GET(self) -> None:
        origin = self.server.origin
        path = self.path.partition("?")[0]
        with origin.lock:
            origin.asked.append((path, {name.lower(): value for name, value in self.headers.items()}))
        origin.behaviours.get(path, missing)(self)

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        headers = {"Content_Length": str(len(body))} | headers
        for name, value in headers.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def missing(asked: Asked) -> None:
    asked.say(404, b"<h1>Not found</h1>")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    origin: Origin

    def handle_error(self, *_: Any) -> None:
        """A caller that hangs up is nothing to print."""


@dataclass
class Origin:
    port: int = 0
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def on(self, path: str, behaviour: Behaviour) -> str:
        self.behaviours[path] = behaviour
        return self.url(path)

    def holds(self, path: str, body: bytes, **headers: str) -> str:
        """A file; with an `ETag`, who has it is told so."""

        def answer(asked: Asked) -> None:
            etag = headers.get("ETag")
            if etag and asked.headers.get("If-None-Match") == etag:
                asked.say(304, ETag=etag, Content_Length="")
            else:
                asked.say(200, body, **headers)

        return self.on(path, answer)

    def leads(self, path: str, target: str) -> str:
        return self.on(path, lambda asked: asked.say(302, Location=target))

    def count(self, path: str) -> int:
        return sum(1 for one, _ in self.asked if one == path)


@contextmanager
def origin_started(address: str = "127.0.0.1", port: int = 0) -> Iterator[Origin]:
    server = _Server((address, port), Asked)
    server.origin = Origin(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.origin
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
