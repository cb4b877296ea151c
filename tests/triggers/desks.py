"""A desk in the test's own process, whose threads give their connections back before the database is cleaned."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections

from apps.triggers import desk
from tests.support.runner import wait_until


async def other(scope: Any, receive: Any, send: Any) -> None:
    """The usual way."""
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


@contextmanager
def desk_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[desk.Desk]:
    real, busy = desk.close_old_connections, set[int]()

    def closed() -> None:
        """Called in the desk's threads, before what arrives together and after it."""
        real()
        connections.close_all()
        busy.symmetric_difference_update({threading.get_ident()})

    monkeypatch.setattr(desk, "close_old_connections", closed)
    monkeypatch.setattr(desk, "LINGER", 0.01)
    yield desk.Desk(other)
    wait_until(lambda: not busy, 30)
