"""An origin on loopback, and a file cache that may ask it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from moto.server import ThreadedMotoServer

from apps.files.models import CachedFile, CacheSettings
from apps.files.services import file_ask
from apps.files.services.download import crew
from tests.files.origin import Origin, origin_started


@pytest.fixture
def origin() -> Iterator[Origin]:
    with origin_started() as started:
        yield started


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The address of an S3 store."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.02)
    return found


def run_async(work: Coroutine[Any, Any, Any]) -> Any:
    """As asyncio.run; the threads that asked the database for it leave no connection behind."""

    async def worked() -> Any:
        try:
            return await work
        finally:
            await sync_to_async(connections.close_all)()

    return asyncio.run(worked())


@dataclass
class Cache:
    """The cache of this process, with its settings."""

    settings: CacheSettings

    def set(self, **values: Any) -> None:
        CacheSettings.objects.filter(pk=self.settings.pk).update(**values)

    def get(self, url: str, *, cache: bool = False, by: str = "agent a", sha256: str = "") -> CachedFile:
        """Asks until there is an answer, and until what it replaced and what had to leave for it is deleted."""
        found: CachedFile = wait_for(lambda: file_ask(url=url, cache=cache, by=by, sha256=sha256))
        wait_for(lambda: not crew.at_work())
        return found

    def content(self, row: CachedFile) -> bytes:
        from apps.files.services import file_pieces

        return b"".join(file_pieces(row=row))


@pytest.fixture
def cache(transactional_db: None) -> Iterator[Cache]:
    yield Cache(CacheSettings.objects.create(private_allowed=["127.0.0.0/8"], time_limit=60))
    wait_for(crew.is_idle)
