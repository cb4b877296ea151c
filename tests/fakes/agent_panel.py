"""A panel for agents, scripted: real HTTP and WebSockets on loopback, the protocol and nothing behind it.

It keeps events by number as the panel does (overlap is cut off, a gap is answered by what is stored), so a test can
say at the end what arrived, and that it arrived once.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import http.server
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from deploypanel_agent.signature import signed_text

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
NAME, KEY, CODE = "box", "key-of-the-agent-0123456789", "7K2M-9QXD"


@dataclass
class FakeRun:
    message: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)
    forgotten: bool = False

    @property
    def ended(self) -> dict[str, Any] | None:
        return next((event for event in self.events if event["kind"] == "ended"), None)

    def text(self, *streams: str) -> str:
        wanted = streams or ("out", "err")
        return "".join(e["text"] for e in self.events if e["kind"] == "log" and e["stream"] in wanted)

    @property
    def steps(self) -> list[tuple[int, str]]:
        return [(event["position"], event["state"]) for event in self.events if event["kind"] == "step"]


class _Outbox:
    """What one connection still has to be told."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self.messages: list[dict[str, Any]] = []
        self.closed = 0
        self.polling = 0

    def put(self, *messages: dict[str, Any]) -> None:
        with self._changed:
            self.messages += messages
            self._changed.notify_all()

    def take(self, wait: float) -> list[dict[str, Any]]:
        with self._changed:
            self._changed.wait_for(lambda: self.messages or self.closed, wait)
            taken, self.messages = self.messages, []
            return taken


class FakePanel:
    def __init__(self, tls: tuple[str, str] | None = None) -> None:
        """`tls`: files of a certificate and its key."""
        self.changed = threading.Condition(threading.RLock())
        self.runs: dict[int, FakeRun] = {}
        self.hellos: list[dict[str, Any]] = []
        self.beats: list[dict[str, Any]] = []
        self.lines: dict[str, _Outbox] = {}
        self.sockets: list[socket.socket] = []
        self.refuse_upgrade = 0  # an HTTP status
        self.close_with = 0  # a code, right after hello
        self.mute = False  # answers no hello
        self.drop_answers = 0  # so many polls get no answer
        self.time_offset = 0.0
        self.files: dict[str, bytes] = {}
        self.break_file_at = 0  # so many bytes, once
        self.asked: list[dict[str, Any]] = []
        self.counts: dict[str, int] = {}  # of the old protocol
        self.old_secret = "the old secret"
        self.statuses: list[int] = []  # of the old protocol: answers before it works again
        self.private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._number = 0
        self.server = _Server(self)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    # What a test does.

    def fire(self, trigger: str, count: int, script: str | None = None, **more: Any) -> FakeRun:
        with self.changed:
            self._number += 1
            message = {
                "type": "run",
                "run": self._number,
                "trigger": trigger,
                "count": count,
                "fired_at": dt.datetime.now(dt.UTC).isoformat(),
                "max_age": 86400,
                "payload": None,
                "script": script,
                "signature": self.sign(self._number, trigger, count, script) if script is not None else None,
                "time_limit": 60,
                "silence_limit": 60,
                "again": False,
            } | more
            run = self.runs[self._number] = FakeRun(message)
            self._tell(message)
            return run

    def sign(self, run: int, trigger: str, count: int, script: str) -> str:
        text = signed_text(NAME, run, trigger, count, script)
        return base64.b64encode(self.private_key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()

    def stop(self, run: FakeRun, by: str = "ann") -> None:
        self._tell({"type": "stop", "run": run.message["run"], "by": by})

    def forget(self, number: int) -> None:
        self._tell({"type": "forget", "run": number})

    def until(self, condition: Callable[[], object], limit: float = 60) -> None:
        with self.changed:
            if not self.changed.wait_for(condition, limit):
                raise AssertionError(f"not within {limit} s; runs: {self.runs}; hellos: {self.hellos}")

    def ended(self, run: FakeRun, limit: float = 60) -> dict[str, Any]:
        self.until(lambda: run.ended, limit)
        assert run.ended is not None
        return run.ended

    def drop_lines(self) -> None:
        """Cut every WebSocket as a power cut would."""
        with self.changed:
            dropped, self.sockets = self.sockets, []
        for connection in dropped:
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RDWR)

    def stop_serving(self) -> None:
        self.drop_lines()
        self.server.shutdown()
        self.server.server_close()

    # What the agent asks.

    def hear(self, line: str, message: dict[str, Any]) -> None:
        with self.changed:
            acts = {"hello": self._on_hello, "events": self._on_events, "beat": self._on_beat}
            acts[message["type"]](line, message)
            self.changed.notify_all()

    def _tell(self, message: dict[str, Any]) -> None:
        with self.changed:
            if self.lines:
                self.lines[list(self.lines)[-1]].put(message)

    def _on_hello(self, line: str, message: dict[str, Any]) -> None:
        self.hellos.append(message)
        if self.mute:
            return
        outbox = self.lines.pop(line)
        self.lines[line] = outbox  # the newest
        if self.close_with:
            outbox.closed = self.close_with
            return
        now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.time_offset)
        outbox.put({"type": "welcome", "name": NAME, "time": now.isoformat()})
        for number, told in message["runs"].items():
            run = self.runs.get(int(number))
            if run is not None and told["fired_at"] not in ("", run.message["fired_at"]):
                run = None  # another of that number
            if run is not None:
                outbox.put({"type": "ack", "run": int(number), "events": len(run.events)})
            if run is None or run.ended:
                outbox.put({"type": "forget", "run": int(number)})
        for run in self.runs.values():
            if not run.ended:
                outbox.put(run.message | {"again": True, "stored": len(run.events)})

    def _on_events(self, line: str, message: dict[str, Any]) -> None:
        run = self.runs[message["run"]]
        skip = len(run.events) - (message["first"] - 1)
        if skip >= 0:
            run.events += message["events"][skip:]
        outbox = self.lines[line]
        outbox.put({"type": "ack", "run": message["run"], "events": len(run.events)})
        if run.ended:
            run.forgotten = True
            outbox.put({"type": "forget", "run": message["run"]})

    def _on_beat(self, line: str, message: dict[str, Any]) -> None:
        self.beats.append(message)
        self.lines[line].put({"type": "beat"})

    def line(self, name: str) -> _Outbox:
        with self.changed:
            return self.lines.setdefault(name, _Outbox(self.changed))

    def close_line(self, name: str) -> None:
        with self.changed:
            self.lines.pop(name, None)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, panel: FakePanel) -> None:
        self.panel = panel
        super().__init__(("127.0.0.1", 0), _Door)

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # cut lines are what the tests are about


class _Door(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

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

    def _talk(self, outbox: _Outbox) -> None:
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


@contextmanager
def fake_panel(tls: tuple[str, str] | None = None) -> Iterator[FakePanel]:
    panel = FakePanel(tls)
    try:
        yield panel
    finally:
        panel.stop_serving()
