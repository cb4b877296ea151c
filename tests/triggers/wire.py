"""HTTP by hand, for what libraries would put right; and a client that polls as the contract says Prostagma's does."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Wire:
    """One connection, kept alive."""

    port: int
    _socket: socket.socket = field(init=False)
    _left: bytes = b""

    def __post_init__(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, raw: bytes) -> None:
        self._socket.sendall(raw)

    def ask(self, method: str, path: str, body: bytes = b"", *headers: str, version: str = "1.1") -> Answer:
        """A request with this body, also for GET and HEAD, and its answer."""
        lines = [f"{method} {path} HTTP/{version}", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)
        return self.answer(method)

    def answer(self, method: str = "") -> Answer:
        head = self._until(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines if line}
        size = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
        while len(self._left) < size:
            self._left += self._more()
        body, self._left = self._left[:size], self._left[size:]
        return Answer(int(status.split()[1]), headers, body)

    def is_closed(self) -> bool:
        """Whether the other side has ended the connection, with nothing more to say."""
        return self._left == b"" and self._socket.recv(1) == b""

    def _until(self, end: bytes) -> bytes:
        while end not in self._left:
            self._left += self._more()
        head, _, self._left = self._left.partition(end)
        return head

    def _more(self) -> bytes:
        got = self._socket.recv(65536)
        if not got:
            raise ConnectionError("closed")
        return got


@dataclass
class PollClient:
    """Prostagma's client without its pauses: `start` reads the count once, each `poll` is one later look."""

    host: str  # PROSTAGMA_HOST, a base URL
    secret: str
    trigger: str
    build: Callable[[], None]
    known: int = -1
    errors: list[int] = field(default_factory=list)
    _line: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._line is not None:
            self._line.close()

    def start(self) -> None:
        self.known = self._count()

    def poll(self) -> None:
        count = self._count()
        if count > self.known >= 0:
            self.build()
        if count >= 0:
            self.known = count

    def _count(self) -> int:
        """-1 for an error, which the client logs and lives with."""
        at = urlsplit(f"{self.host}/trigger")
        if self._line is None:
            self._line = http.client.HTTPConnection(at.netloc, timeout=60)
        body = json.dumps({"Secret": self.secret, "Trigger": self.trigger}, separators=(",", ":"))
        try:
            self._line.request("GET", at.path, body)
            answer = self._line.getresponse()
            text = answer.read()
        except OSError:
            self._line.close()
            self.errors.append(0)
            return -1
        if answer.status != 200:
            self.errors.append(answer.status)
            return -1
        return int(json.loads(text)["count"])
