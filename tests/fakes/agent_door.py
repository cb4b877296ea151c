"""The door of the agents' fake panel: what an agent says over HTTP and WebSockets, and the files it fetches."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tests.fakes.agent_panel import FakePanel, Outbox

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
NAME, KEY, CODE = "box", "key-of-the-agent-0123456789", "7K2M-9QXD"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, panel: FakePanel) -> None:
        self.panel = panel
        super().__init__(("127.0.0.1", 0), Door)

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # cut lines are what the tests are about


class Door(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args: Any) -> None:
        return

    def do_POST(self) -> None:
        panel, body = self.server.panel, self._body()
        acts = {"/agent/enrol": self._enrol, "/agent/poll": self._poll, "/agent/files": self._files}
        if self.path in ("/cache", "/cache/s3"):
            panel.asked.append({"path": self.path, **body})
            return self._answer(200 if body["url"] in panel.files else 404)
        if self.path not in acts or (self.path != "/agent/enrol" and not self._known()):
            return self._answer(401, {"error": "unknown key"})
        return acts[self.path](body)

    def do_GET(self) -> None:
        panel = self.server.panel
        if self.path == "/trigger":
            return self._trigger(self._body())
        if self.path in ("/cache", "/cache/s3"):
            return self._bytes(panel.files.get(self._body()["url"]))
        if self.path == "/agent/socket":
            return self._socket()
        if urlsplit(self.path).path.startswith("/agent/files/") and self._known():
            digest = self.path.rpartition("/")[2]
            return self._bytes(next((d for d in panel.files.values() if _sha256(d) == digest), None))
        return self._answer(404, {"error": "no such thing"})

    def _enrol(self, body: dict[str, Any]) -> None:
        if body["code"] != CODE:
            return self._answer(403, {"error": "This code is unknown or too old."})
        numbers = self.server.panel.private_key.public_key().public_numbers()
        key = {"n": f"{numbers.n:x}", "e": numbers.e}
        return self._answer(200, {"name": NAME, "key": KEY, "public_key": key})

    def _poll(self, body: dict[str, Any]) -> None:
        panel = self.server.panel
        outbox = panel.line(body["session"])
        for message in body["messages"]:
            panel.hear(body["session"], message)
        if outbox.closed:
            return self._answer({4401: 401, 4409: 409}[outbox.closed], {"error": "closed"})
        messages = outbox.take(body["wait"])
        if panel.drop_answers and messages:
            panel.drop_answers -= 1
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        return self._answer(200, {"messages": messages})

    def _files(self, body: dict[str, Any]) -> None:
        panel = self.server.panel
        first = not any(asked == body for asked in panel.asked)
        panel.asked.append(body)
        data = panel.files.get(body["url"])
        if data is None:
            return self._answer(404, {"error": f"{body['url']}: the origin answers 404."})
        if first:
            return self._answer(202, {"wait": 0.05})
        return self._answer(200, {"sha256": _sha256(data), "size": len(data)})

    def _trigger(self, body: dict[str, Any]) -> None:
        panel = self.server.panel
        if panel.statuses:
            return self._answer(panel.statuses.pop(0))
        if body["secret"] != panel.old_secret:
            return self._answer(403, reason="The secret is missing or wrong.")
        told = {"trigger": body["trigger"], "count": panel.counts.setdefault(body["trigger"], 0)}
        with panel.changed:
            panel.asked.append(body)
            panel.changed.notify_all()
        return self._answer(200, told)

    def _bytes(self, data: bytes | None) -> None:
        if data is None:
            return self._answer(404)
        begin = int(self.headers.get("Range", "bytes=0-").partition("=")[2].rstrip("-") or 0)
        part = data[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        panel = self.server.panel
        if panel.break_file_at:
            self.wfile.write(part[: panel.break_file_at])
            panel.break_file_at = 0
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(part)
        return None

    def _socket(self) -> None:
        panel = self.server.panel
        if panel.refuse_upgrade:
            return self._answer(panel.refuse_upgrade)
        accept = base64.b64encode(hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + MAGIC).digest())
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        name = f"socket {time.monotonic()} {id(self)}"
        outbox = panel.line(name)
        with panel.changed:
            panel.sockets.append(self.connection)
        if not self._known():
            outbox.closed = 4401
        threading.Thread(target=self._talk, args=(outbox,), daemon=True).start()
        try:
            for message in self._frames():
                panel.hear(name, message)
        finally:
            panel.close_line(name)
            outbox.closed = outbox.closed or 1000
            outbox.put()
            self.close_connection = True
        return None

    def _talk(self, outbox: Outbox) -> None:
        with suppress(OSError):
            while True:
                for message in outbox.take(60):
                    self.connection.sendall(_frame(1, json.dumps(message).encode()))
                if outbox.closed:
                    self.connection.sendall(_frame(8, struct.pack(">H", outbox.closed)))
                    return

    def _frames(self) -> Iterator[dict[str, Any]]:
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            code, length = head[0] & 15, head[1] & 127
            if length > 125:
                length = int.from_bytes(self.rfile.read(2 if length == 126 else 8), "big")
            assert length <= 256 * 1024, "a message is longer than agreed"
            mask = self.rfile.read(4)
            data = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self.rfile.read(length)))
            if code == 8:
                return
            if code == 1:
                yield json.loads(data)

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {KEY}"

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")

    def _answer(self, status: int, data: Any = None, *, reason: str = "") -> None:
        raw = b"" if data is None else json.dumps(data).encode()
        self.send_response(status)
        if reason:
            self.send_header("X-Deploypanel-Reason", reason)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def _frame(code: int, data: bytes) -> bytes:
    if len(data) < 126:
        size = bytes([len(data)])
    elif len(data) < 65536:
        size = b"\x7e" + struct.pack(">H", len(data))
    else:
        size = b"\x7f" + struct.pack(">Q", len(data))
    return bytes([0x80 | code]) + size + data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
