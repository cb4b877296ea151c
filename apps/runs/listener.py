"""Listeners: what wakes the tailer when another process has written. They say *that*, never *what*."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from typing import Any, Protocol

import psycopg
from django.db import connection, connections

from apps.runs.bell import CHANNEL

SQLITE_INTERVAL = 0.03  # seconds between two looks at SQLite's change counter: 3 µs each
FALLBACK_INTERVAL = 0.5  # seconds after which PostgreSQL is asked even when nothing rang


class Listener(Protocol):
    """Belongs to one thread; only `wake` may be called from others."""

    def wait(self) -> None:
        """Return when something may have changed, or when woken."""

    def wake(self) -> None: ...

    def close(self) -> None: ...


class SqliteListener:
    """`PRAGMA data_version` on the thread's open connection changes when anyone else commits."""

    def __init__(self) -> None:
        self._woken = threading.Event()
        connection.ensure_connection()
        self._version = self._read()

    def wait(self) -> None:
        while not self._woken.wait(SQLITE_INTERVAL):
            version = self._read()
            if version != self._version:
                self._version = version
                return
        self._woken.clear()

    def _read(self) -> int:
        # Past Django's cursor wrappers, which would cost ten times the question itself.
        raw: Any = connection.connection
        return int(raw.execute("PRAGMA data_version").fetchone()[0])

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        connection.close()


class PostgresListener:
    """LISTEN on a connection of its own, outside any pool, with a slow look in between."""

    def __init__(self, channel: str) -> None:
        wrapper: Any = connections["default"]
        parameters = wrapper.get_connection_params()
        self._connection = psycopg.connect(**parameters, autocommit=True)
        self._connection.execute(f"LISTEN {channel}")
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def wait(self) -> None:
        ready, _, _ = select.select([self._connection.fileno(), self._reader], [], [], FALLBACK_INTERVAL)
        if self._reader in ready:
            os.read(self._reader, 4096)
        if self._connection.fileno() in ready:
            # Many writers ring at once: a breath lets one look serve them all.
            time.sleep(0.005)
            for _ in self._connection.notifies(timeout=0):
                pass

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already; closed: nobody waits
            os.write(self._writer, b"!")

    def close(self) -> None:
        self._connection.close()
        connection.close()
        os.close(self._reader)
        os.close(self._writer)


def listener_open(channel: str = CHANNEL) -> Listener:
    """A listener for this thread on the installation's database; raises a database error when it is away.

    `channel` is where PostgreSQL is listened to; SQLite tells of every commit.
    """
    return PostgresListener(channel) if connection.vendor == "postgresql" else SqliteListener()
