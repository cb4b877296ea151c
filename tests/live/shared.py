"""A web process that serves more tests than one, with the keys that the tests have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings

from tests.live.server import WebServer, server_start


def shared_start(data: Path, port: int = 0) -> WebServer:
    with pytest.MonkeyPatch.context() as env:
        env.setenv("DEPLOYPANEL_DATA", str(data))
        env.setenv("DEPLOYPANEL_SECRET_KEY", settings.SECRET_KEY)
        env.setenv("DEPLOYPANEL_KEY_RING", settings.KEY_RING)
        env.delenv("DEPLOYPANEL_PROSTAGMA_SECRET", raising=False)
        return server_start(data, port, ready="/health")


@contextmanager
def shared_server(folders: pytest.TempPathFactory) -> Iterator[WebServer]:
    data = folders.mktemp("web")
    (data / "static").mkdir()
    server = shared_start(data)
    yield server
    if server.process.poll() is None:
        server.stop(30)
