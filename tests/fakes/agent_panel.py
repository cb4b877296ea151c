"""A panel for agents, scripted: real HTTP and WebSockets on loopback, the protocol and nothing behind it.

It keeps events by number as the panel does (overlap is cut off, a gap is answered by what is stored), so a test can
say at the end what arrived, and that it arrived once.
"""

from __future__ import annotations

import base64
import datetime as dt
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from deploypanel_agent.signature import signed_text
from tests.fakes.agent_door import NAME, Server


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


class Outbox:
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
        self.lines: dict[str, Outbox] = {}
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
        self.server = Server(self)
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

    def line(self, name: str) -> Outbox:
        with self.changed:
            return self.lines.setdefault(name, Outbox(self.changed))

    def close_line(self, name: str) -> None:
        with self.changed:
            self.lines.pop(name, None)


@contextmanager
def fake_panel(tls: tuple[str, str] | None = None) -> Iterator[FakePanel]:
    panel = FakePanel(tls)
    try:
        yield panel
    finally:
        panel.stop_serving()
