"""What lies under the client: TLS as the node's settings say, and connections that can be cut when time is up."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from apps.access.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Watch:
    """One attempt: what has happened on its connection, and the end of its time.

    Time-outs of sockets count silence only; a byte now and then would keep them waiting for ever. So a timer cuts the
    connection itself when the whole attempt's time is over.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.sent = False  # something may have reached the node
        self.began = False  # an answer has begun to come
        self.expired = False
        self._known: socket.socket | None = None
        self._handle: socket.socket | None = None
        self._lock = threading.Lock()

    def holds(self, connection: socket.socket) -> None:
        """This is the connection to cut, even when its owner thinks that it is done with it: answers may still come."""
        with self._lock:
            if connection is not self._known:
                self._let_go()
                self._known, self._handle = connection, connection.dup()
            if self.expired:
                _cut(self._handle)

    def _let_go(self) -> None:
        if self._handle is not None:
            self._handle.close()
        self._known = self._handle = None

    def expire(self) -> None:
        with self._lock:
            self.expired = True
            _cut(self._handle)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        timer = threading.Timer(max(self.seconds, 0.001), self.expire)
        timer.daemon = True
        token = _WATCH.set(self)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            _WATCH.reset(token)
            with self._lock:
                self._let_go()


_WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


def _cut(handle: socket.socket | None) -> None:
    if handle is not None:
        with contextlib.suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)


class KeptFrom(OSError):
    """The address is one at which no node or store is, but what a machine's own secrets can be asked of."""


# Where clouds answer their own machines, beside the link-local addresses.
_MACHINES_OWN = {"fd00:ec2::254", "100.100.100.200", "168.63.129.16"}


def _is_machines_own(connection: socket.socket) -> bool:
    """Asked of the connection itself: names can mean another address each time. Nothing was sent yet."""
    try:
        address = ipaddress.ip_address(connection.getpeername()[0].partition("%")[0])
    except OSError:  # gone again already
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_link_local or str(address) in _MACHINES_OWN


class _Watched(HTTPConnection):
    """Tells the watch when there is a connection, and when something is sent over it."""

    _handle: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        if _is_machines_own(connection):
            connection.close()
            raise KeptFrom
        # TLS takes the descriptor over; a second one for the same connection can cut it during the handshake too.
        self._handle = connection.dup()
        if watch := _WATCH.get():
            watch.holds(self._handle)
        return connection

    def connect(self) -> None:
        try:
            super().connect()
        finally:
            # A proxy's CONNECT is sent on the way, and says nothing to the node yet.
            if watch := _WATCH.get():
                watch.sent = False

    def send(self, data: Any) -> None:
        if self.sock is None and self.auto_open:
            self.connect()
        if watch := _WATCH.get():
            if self._handle is not None:
                watch.holds(self._handle)
            watch.sent = True
            # A large body may take longer than a connection may; the watch has the last word.
            if self.sock is not None:
                self.sock.settimeout(watch.seconds)
        super().send(data)

    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()
        super().close()


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTls

    def _validate_conn(self, conn: Any) -> None:
        """Connect. urllib3 would warn of a node without verification each time; the panel's pages do that."""
        if conn.is_closed:
            conn.connect()


POOLS = {"http": _Pool, "https": _TlsPool}


@lru_cache(maxsize=128)
def tls_context(ca_bundle: str, verify: bool) -> ssl.SSLContext:
    """Trust in the bundle's authorities alone; empty: in the system's. Raises InputError for a bundle that is none.

    Kept, since to read the system's authorities takes longer than a whole check.
    """
    try:
        context = ssl.create_default_context(cadata=ca_bundle or None)
    except (ssl.SSLError, ValueError):
        raise InputError("This is not a bundle of PEM certificates.", "CA bundle") from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def reason(error: BaseException) -> str:
    """Why a connection failed, in words; never with what was sent."""
    causes = list(_causes(error))
    for kinds, words in _WORDS:
        if any(isinstance(one, kinds) for one in causes):
            return words
    for one in causes:
        if isinstance(one, ssl.SSLError):
            return f"TLS failed ({(one.reason or 'no reason given').replace('_', ' ').lower()})"
    return type(causes[-1]).__name__


def distrust(error: BaseException) -> str:
    """Why TLS can never work out with these settings; empty where it may."""
    for one in _causes(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted ({one.verify_message})"
        if isinstance(one, ssl.SSLError) and one.reason in _HOPELESS:
            return f"TLS failed ({one.reason.replace('_', ' ').lower()}): does it speak TLS at this port?"
    return ""


_HOPELESS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE"}
_WORDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((KeptFrom,), "that address is for the machine's own network, and never asked"),
    ((ConnectionRefusedError,), "the connection was refused"),
    ((socket.gaierror,), "its name is not known"),
    ((http.client.IncompleteRead,), "the answer ended in the middle"),
    ((http.client.RemoteDisconnected,), "the connection was closed"),
    ((ConnectionResetError, BrokenPipeError, ConnectionAbortedError, ssl.SSLEOFError), "the connection was reset"),
    ((TimeoutError,), "it was silent for too long"),
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and everything behind it, each once: libraries wrap them in several ways."""
    seen: set[int] = set()
    queue: list[Any] = [error]
    while queue:
        one = queue.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        queue += [getattr(one, "reason", None), *one.args, one.__cause__, one.__context__]
