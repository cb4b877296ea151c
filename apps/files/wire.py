"""What lies under the downloads: connections that are made only to addresses that were looked at."""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apps.files.guard import Guard
    from apps.files.patience import Watch

CONNECT = 10.0  # seconds for one address


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


_LINE: ContextVar[tuple[Guard, Watch]] = ContextVar("line")


@contextmanager
def line(guard: Guard, watch: Watch) -> Iterator[None]:
    token = _LINE.set((guard, watch))
    try:
        yield
    finally:
        _LINE.reset(token)


def resolve(host: str, port: int) -> list[tuple[Any, ...]]:
    """What the system's resolver says, asked once for each connection."""
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


class _Checked(HTTPConnection):
    """Connects to an address that was looked at, and to no other."""

    def _new_conn(self) -> socket.socket:
        guard, watch = _LINE.get()
        host, port = self._dns_host.strip("[]"), self.port or self.default_port
        found = resolve(host, port)
        guard.check(host, [str(one[4][0]) for one in found])
        failed: OSError = OSError("its name has no address")
        for family, kind, protocol, _, place in found:
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(CONNECT)
                connection.connect(place)
            except OSError as error:
                connection.close()
                failed = error
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            watch.holds(connection)
            return connection
        raise failed


class _CheckedTls(_Checked, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Checked


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _CheckedTls


POOLS = {"http": _Pool, "https": _TlsPool}


def reason(error: BaseException) -> str:
    """Why a connection failed, in a few words; never with what was sent."""
    seen: list[BaseException] = []
    queue: list[Any] = [error]
    while queue:
        one = queue.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            queue += [getattr(one, "reason", None), *one.args, one.__cause__, one.__context__]
    for kinds, words in _WORDS:
        if any(isinstance(one, kinds) for one in seen):
            return words
    return type(seen[-1]).__name__


_WORDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (ssl.SSLCertVerificationError, "its certificate is not accepted"),
    (ssl.SSLError, "TLS failed"),
    (ConnectionRefusedError, "the connection was refused"),
    (socket.gaierror, "its name is not known"),
    ((ConnectionResetError, BrokenPipeError, ConnectionAbortedError), "the connection was reset"),
    (TimeoutError, "it was silent for too long"),
    (HTTPError, "the answer was broken off or is none of HTTP"),
)
