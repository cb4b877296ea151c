"""Lines to the panel: a WebSocket, or long polling where something on the way lets none through.

A line is opened with the agent's hello and gives what the panel says to `heard`, from a thread of its own. It breaks
once and for all: what comes after is a new line, with a new hello.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import websocket

from deploypanel_agent.errors import AgentError, LineLost, NoWebSocket, PanelRefused

if TYPE_CHECKING:
    from deploypanel_agent.web import Web

Message = dict[str, Any]
Heard = Callable[[list[Message]], None]

MESSAGE_LIMIT = 1024 * 1024  # bytes of what the panel says at once
CONNECT_TIMEOUT = 15.0  # seconds
SEND_TIMEOUT = 30.0
WAIT = 25.0  # seconds that the panel may keep a long poll
KEY_UNKNOWN, NEWER_LINE = 4401, 4409
REFUSALS = {401: KEY_UNKNOWN, 409: NEWER_LINE, KEY_UNKNOWN: KEY_UNKNOWN, NEWER_LINE: NEWER_LINE}
FINAL = (401, 409, 429, 503, 504)  # answers to the upgrade with which polling would fare no better


class Line(Protocol):
    """One connection. `broken` is set when it is over; `error` says why then."""

    transport: str
    broken: threading.Event
    error: AgentError | None

    def open(self, hello: Message, heard: Heard) -> None:
        """Raises AgentError when it does not come about."""

    def send(self, messages: list[Message]) -> None:
        """Raises AgentError when it is broken."""

    def close(self) -> None: ...


class _Breakable:
    def __init__(self) -> None:
        self.broken = threading.Event()
        self.error: AgentError | None = None
        self._closing = False

    def _break(self, error: AgentError) -> None:
        if not self.broken.is_set():
            self.error = error
            self.broken.set()


class SocketLine(_Breakable):
    """A WebSocket."""

    transport = "websocket"

    def __init__(self, web: Web, key: str) -> None:
        super().__init__()
        self._web = web
        self._key = key
        self._socket: Any = None
        self._sending = threading.Lock()

    def open(self, hello: Message, heard: Heard) -> None:
        url = "ws" + self._web.url[4:] + "/agent/socket"
        try:
            self._socket = websocket.create_connection(
                url,
                timeout=CONNECT_TIMEOUT,
                header=[f"Authorization: Bearer {self._key}"],
                suppress_origin=True,
                sslopt={"context": self._web.tls},
                redirect_limit=0,
                enable_multithread=True,
                sockopt=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
            )
        except websocket.WebSocketBadStatusException as error:
            raise _no_upgrade(self._web.url, error.status_code) from None
        except websocket.WebSocketException as error:
            raise NoWebSocket(f"{self._web.url}: no WebSocket: {error}") from None
        except (OSError, ValueError) as error:
            raise LineLost(f"{self._web.url}: {getattr(error, 'strerror', None) or error}") from None
        self._socket.settimeout(SEND_TIMEOUT)
        self.send([hello])
        threading.Thread(target=self._listen, args=(heard,), name="line", daemon=True).start()

    def send(self, messages: list[Message]) -> None:
        try:
            with self._sending:
                for message in messages:
                    self._socket.send(_encoded(message))
        except (OSError, websocket.WebSocketException) as error:
            self._break(LineLost(f"The line broke: {error}"))
        if self.broken.is_set():
            raise self.error or LineLost("The line is broken.")

    def close(self) -> None:
        self._closing = True
        if self._socket is not None:
            with contextlib.suppress(Exception):
                self._socket.sock.settimeout(1)
                self._socket.send_close()
            with contextlib.suppress(Exception):
                self._socket.sock.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(Exception):
                self._socket.shutdown()

    def _listen(self, heard: Heard) -> None:
        try:
            while not self._closing:
                self._receive(heard)
        except AgentError as error:
            self._break(error)
        except (OSError, ValueError, AttributeError, websocket.WebSocketException) as error:
            self._break(LineLost(f"The line broke: {error}"))
        finally:
            self._break(LineLost("The line was closed."))
            heard([])

    def _receive(self, heard: Heard) -> None:
        try:
            code, data = self._socket.recv_data(control_frame=True)
        except websocket.WebSocketTimeoutException:
            return
        if code == websocket.ABNF.OPCODE_TEXT:
            heard([decoded(data)])
        elif code == websocket.ABNF.OPCODE_CLOSE:
            raise _closed(data)
        else:
            heard([{"type": "beat"}])  # a ping or a pong: the line lives


class PollLine(_Breakable):
    """Long polling. A session is known by a number of its own, and lasts until one request fails."""

    transport = "poll"

    def __init__(self, web: Web, wait: float = WAIT) -> None:
        super().__init__()
        self._web = web
        self._wait = wait
        self._session = secrets.token_urlsafe(18)
        self._heard: Heard = lambda _: None

    def open(self, hello: Message, heard: Heard) -> None:
        self._heard = heard
        heard(self._ask([hello], 0))
        threading.Thread(target=self._listen, name="line", daemon=True).start()

    def send(self, messages: list[Message]) -> None:
        if self.broken.is_set():
            raise self.error or LineLost("The line is broken.")
        try:
            self._heard(self._ask(messages, 0))
        except AgentError as error:
            self._break(error)
            raise

    def close(self) -> None:
        self._closing = True
        self._break(LineLost("The line was closed."))

    def _listen(self) -> None:
        try:
            while not self._closing and not self.broken.is_set():
                messages = self._ask([], self._wait)
                self._heard([*messages, {"type": "beat"}])
        except AgentError as error:
            self._break(error)
        finally:
            self._heard([])

    def _ask(self, messages: list[Message], wait: float) -> list[Message]:
        body = {"session": self._session, "messages": messages, "wait": wait}
        answer = self._web.ask("/agent/poll", body, timeout=wait + 20)
        told = answer.data.get("messages") if isinstance(answer.data, dict) else None
        if not isinstance(told, list):
            raise LineLost(f"{self._web.url} does not answer as a Deploypanel.")
        return [message for message in told if isinstance(message, dict)]


def decoded(data: bytes) -> Message:
    """Raises LineLost when this is no message."""
    try:
        message = json.loads(data) if len(data) <= MESSAGE_LIMIT else None
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise LineLost("The panel said something that is no message.")
    return message


def _encoded(message: Message) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()


def _no_upgrade(url: str, status: int) -> AgentError:
    if status in FINAL:
        return PanelRefused(REFUSALS.get(status, status), f"{url}: HTTP {status}")
    return NoWebSocket(f"{url}: no WebSocket, HTTP {status}")


def _closed(data: bytes) -> AgentError:
    code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
    words = data[2:].decode("utf-8", "replace")
    if code in REFUSALS:
        return PanelRefused(code, words or f"closed with {code}")
    return LineLost(f"The panel closed the line ({code}{' ' + words if words else ''}).")
