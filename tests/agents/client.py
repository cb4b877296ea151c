"""An agent as a script of the protocol: a real WebSocket to a real web process, and nothing done by itself."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests
import websocket

HELLO = {"type": "hello", "protocol": 1, "version": "1.0.0", "python": "3.9", "system": "Linux", "hostname": "box"}
PATIENCE = 30.0  # seconds


class Closed(Exception):
    """The panel closed the line."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def hello(runs: dict[int, dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    return HELLO | {"runs": {str(run): held for run, held in (runs or {}).items()}, "finished": {}} | more


def event(kind: str, **values: Any) -> dict[str, Any]:
    return {"at": "2026-01-05T10:00:00+00:00", "kind": kind, **values}


def log(text: str, stream: str = "out") -> dict[str, Any]:
    return event("log", stream=stream, text=text)


def ended(state: str = "succeeded", summary: str = "") -> dict[str, Any]:
    return event("ended", state=state, summary=summary)


class Client:
    """One line. `expect` passes over beats, and over everything that `among` does not name."""

    def __init__(self, url: str, key: str) -> None:
        self.socket = websocket.create_connection(
            url.replace("http", "ws", 1) + "/agent/socket", header={"Authorization": f"Bearer {key}"}, timeout=PATIENCE
        )
        self.seen: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any] | str) -> None:
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def events(self, run: int, first: int, *events: dict[str, Any]) -> None:
        self.send({"type": "events", "run": run, "first": first, "events": list(events)})

    def receive(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """The next message; raises Closed, or TimeoutError when nothing comes."""
        self.socket.settimeout(timeout)
        try:
            opcode, data = self.socket.recv_data()
        except websocket.WebSocketTimeoutException:
            raise TimeoutError from None
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise Closed(int.from_bytes(data[:2], "big"))
        message: dict[str, Any] = json.loads(data)
        self.seen.append(message)
        return message

    def expect(self, kind: str, timeout: float = PATIENCE, **values: Any) -> dict[str, Any]:
        """The next message of that kind; those of other kinds before it stay in `seen`."""
        deadline = time.monotonic() + timeout
        while True:
            message = self.receive(max(0.01, deadline - time.monotonic()))
            if message["type"] == kind and all(message.get(name) == value for name, value in values.items()):
                return message

    def quiet(self) -> list[dict[str, Any]]:
        """What has come by the time that the panel has answered a beat, without the beat."""
        self.send({"type": "beat", "runs": []})
        before = len(self.seen)
        self.expect("beat")
        return self.seen[before:-1]

    def closed(self) -> int:
        """The code with which the panel closes, whatever comes before."""
        try:
            while True:
                self.receive()
        except Closed as error:
            return error.code

    def drop(self) -> None:
        """As a cable that is cut: no closing handshake."""
        with suppress(OSError):
            self.socket.sock.close()


@contextmanager
def connected(url: str, key: str, runs: dict[int, dict[str, Any]] | None = None) -> Iterator[Client]:
    """A line that has said hello and was made welcome."""
    client = Client(url, key)
    try:
        client.send(hello(runs))
        client.expect("welcome")
        yield client
    finally:
        client.drop()


class Poller:
    """The same by long polling."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key, self.session = url, key, secrets.token_hex(8)

    def post(self, *messages: dict[str, Any], wait: float = 0) -> requests.Response:
        return requests.post(
            f"{self.url}/agent/poll",
            json={"session": self.session, "messages": list(messages), "wait": wait},
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=60,
        )

    def poll(self, *messages: dict[str, Any], wait: float = 0) -> list[dict[str, Any]]:
        answer = self.post(*messages, wait=wait)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["messages"]
        return found

    def expect(self, kind: str, *messages: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        found = self.poll(*messages, wait=5)
        while time.monotonic() < deadline:
            for message in found:
                if message["type"] == kind:
                    return message
            found = self.poll(wait=5)
        raise AssertionError(f"no {kind} came")
