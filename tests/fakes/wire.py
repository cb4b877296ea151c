"""A threaded HTTP server on a real socket that can also refuse, reset, stall, drip and cut. Standard library only."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import socket
import ssl
import struct
import threading
import time
import zipfile
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple

from tests.fakes.faults import AFTER, Fault, Faults
from tests.support.ports import free_port

PROXY_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class Seen(NamedTuple):
    """One request as it came in, and how it was answered: 0 where there was no answer."""

    method: str
    path: str
    query: str
    status: int
    size: int


class Gone(Exception):
    """The connection ends here."""


class WireServer:
    """`answer_of` is what a fake overrides. Everything below it is sockets."""

    def __init__(self, port: int = 0, tls: tuple[str, str] | None = None) -> None:
        self.faults = Faults()
        self.log: list[Seen] = []
        self.connections = 0
        self._context = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*tls)
        self._stopped = threading.Event()
        self._kept: set[socket.socket] = set()
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._listener: socket.socket | None = None
        self.port = port or free_port()  # one that stays ours while the fake is closed
        self.open()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    # What fakes say

    def answer_of(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        """Do the work and answer. `headers` have lower-case names."""
        raise NotImplementedError

    @property
    def address(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method and path of every request, in order."""
        return [(one.method, one.path) for one in self.log]

    def forget(self) -> None:
        """Empty the log."""
        self.log.clear()

    # Being there, and not

    def open(self) -> None:
        """Listen (again), on the same port as before. Does nothing where it listens already, or was stopped."""
        with self._opening:
            if self._listener is None and not self._stopped.is_set():
                self._listen()

    def _listen(self) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        with self._lock:
            self._listener = listener

    def close(self, seconds: float | None = None) -> None:
        """Refuse every new connection from now on. It is over after `seconds`, if given."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread, and refuses at once
            listener.close()
        if seconds is not None:
            timer = threading.Timer(seconds, self.open)
            timer.daemon = True
            timer.start()

    def stop(self) -> None:
        with self._opening:  # who is opening it again just now has ended, and nobody does after this
            self._stopped.set()
        self.close()
        self._thread.join()
        with self._lock:
            kept = list(self._kept)
        for connection in kept:
            # Closed by its own thread: one that still reads from it must not meet the number's next owner.
            with contextlib.suppress(OSError):
                _linger_not(connection)
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._stopped.is_set():
            listener = self._listener
            if listener is None:
                time.sleep(0.01)
                continue
            try:
                connection, _ = listener.accept()
            except OSError:
                continue
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            with self._lock:
                self._kept.add(connection)
            _Handler(connection, self)
        except (OSError, ValueError, Gone):
            pass
        finally:
            with self._lock:
                self._kept.discard(connection)
            with contextlib.suppress(OSError):
                connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WireServer  # type: ignore[assignment]

    def __init__(self, connection: socket.socket, server: WireServer) -> None:
        super().__init__(connection, ("127.0.0.1", 0), server)  # type: ignore[arg-type]

    def log_message(self, *arguments: object) -> None:
        pass

    def handle_any(self) -> None:
        path, _, query = self.path.partition("?")
        fault = self.server.faults.for_call(self.command, path)
        if fault is not None and fault.kind.partition(":")[0] not in AFTER:
            self._spoil_before(fault, path, query)
            return
        body = self._body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.answer_of(self.command, path, query, headers, body)
        leaves = self.server.faults.leaves_after(self.command, path)
        self._note(path, query, answer.status, len(body))
        if leaves is not None:
            self.server.close(leaves.seconds)
            self.close_connection = True
        if fault is None:
            self._send(answer)
        else:
            self._spoil_after(fault, answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = handle_any  # noqa: N815 - the server's own names

    def do_LIST(self) -> None:
        """Vault's own method."""
        self.handle_any()

    def _note(self, path: str, query: str, status: int, size: int = 0) -> None:
        self.server.log.append(Seen(self.command, path, query, status, size))

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return b"".join(iter(self._chunk, b""))
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        if len(body) < size:
            raise Gone  # half a request is no request
        return body

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().strip() or b"0", 16)
        chunk = self.rfile.read(size)
        self.rfile.readline()
        return chunk

    def _send(self, answer: Answer, length: int | None = None) -> None:
        self.send_response(answer.status)
        if answer.status != 304:
            self.send_header("Content-Type", answer.content_type)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body) if length is None else length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and answer.status != 304:
            self.wfile.write(answer.body)

    # Faults

    def _spoil_before(self, fault: Fault, path: str, query: str) -> None:
        kind, _, number = fault.kind.partition(":")
        if kind in {"reset_before", "never"}:
            self._note(path, query, 0)
        if kind == "reset_before":
            self._reset()
        if kind == "never":
            self._stall()
        body = self._body()
        answers = {
            "html_502": Answer(502, PROXY_PAGE, "text/html"),
            "redirect": Answer(307, b"", headers={"Location": fault.location}),
        }
        answer = answers.get(kind) or Answer(int(number), b'{"detail": "It is so."}')
        if fault.retry_after:
            answer.headers["Retry-After"] = fault.retry_after
        self._note(path, query, answer.status, len(body))
        self._send(answer)

    def _spoil_after(self, fault: Fault, answer: Answer) -> None:
        getattr(self, f"_after_{fault.kind}")(fault, answer)

    def _after_reset_after(self, fault: Fault, answer: Answer) -> None:
        self._reset()

    def _after_half_body(self, fault: Fault, answer: Answer) -> None:
        """It promises the whole and ends in the middle, without a reset."""
        body = answer.body or b" "
        half = Answer(answer.status, body[: len(body) // 2], answer.content_type, answer.headers)
        self._send(half, length=len(body))
        self._hang_up()

    def _after_half_chunk(self, fault: Fault, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n" % (len(answer.body) + 10) + answer.body)
        self._hang_up()

    def _after_half_head(self, fault: Fault, answer: Answer) -> None:
        self.wfile.write(f"HTTP/1.1 {answer.status} OK\r\nContent-Type: {answer.content_type}\r\nX-".encode())
        self._hang_up()

    def _after_html_502_after(self, fault: Fault, answer: Answer) -> None:
        self._send(Answer(502, PROXY_PAGE, "text/html"))

    def _after_garbage(self, fault: Fault, answer: Answer) -> None:
        self._send(Answer(200, PROXY_PAGE, "text/html"))

    def _after_never_after(self, fault: Fault, answer: Answer) -> None:
        self._stall()

    def _after_slow(self, fault: Fault, answer: Answer) -> None:
        """Each byte in time, all of them far too late: headers too."""
        head = f"HTTP/1.1 {answer.status} OK\r\nContent-Type: {answer.content_type}\r\nX-Slow: {'y' * 200}\r\n"
        self._drip((head + f"Content-Length: {len(answer.body)}\r\n\r\n").encode() + answer.body, fault.pause)

    def _after_slow_body(self, fault: Fault, answer: Answer) -> None:
        """The head at once, with the word that the connection ends here; then white space before the body."""
        self.close_connection = True
        self._send(Answer(answer.status, b"", answer.content_type), length=200 + len(answer.body))
        self._drip(b" " * 200 + answer.body, fault.pause)

    def _drip(self, data: bytes, pause: float) -> None:
        for byte in data:
            if self.server._stopped.wait(pause):
                raise Gone
            self.wfile.write(bytes([byte]))

    def _after_gzip_bomb(self, fault: Fault, answer: Answer) -> None:
        self._send(Answer(200, gzip_bomb(), answer.content_type, {"Content-Encoding": "gzip"}))

    def _after_zip_bomb(self, fault: Fault, answer: Answer) -> None:
        self._send(Answer(200, zip_bomb(), "application/zip"))

    def _after_endless(self, fault: Fault, answer: Answer) -> None:
        self.send_response(200)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Connection", "close")
        self.end_headers()
        while not self.server._stopped.is_set():
            self.wfile.write(b" " * 65536)

    def _stall(self) -> None:
        self.server._stopped.wait(60)
        raise Gone

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        raise Gone

    def _reset(self) -> None:
        _reset(self.connection)
        raise Gone


def _reset(connection: socket.socket) -> None:
    """End with RST, whatever was still to be read or sent."""
    try:
        _linger_not(connection)
        os.close(connection.detach())
    except OSError:
        pass


def _linger_not(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@cache
def gzip_bomb() -> bytes:
    """100 MB in 100 kB."""
    return gzip.compress(b"\0" * (100 << 20), 1)


@cache
def zip_bomb() -> bytes:
    """100 MB in ten files of 10 kB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(10):
            archive.writestr(f"pipes/{number}.conf.json", b" " * (10 << 20))
    return buffer.getvalue()
