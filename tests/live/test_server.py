"""The whole way with a real server and a real client: commit, tailer, frame, socket."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
import websockets
from django.conf import settings
from django.contrib.auth.models import User

from tests.live.server import WebServer, server_start, session_of
from tests.live.writer import Log, in_database

pytestmark = [pytest.mark.database, pytest.mark.panel, pytest.mark.django_db(transaction=True)]
ROUNDS = 3  # of forty lines


def connect(server: WebServer, run_id: int, session: str, after: int = 0, **options: Any) -> Any:
    headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}", "Origin": server.url}
    return websockets.connect(
        server.socket(run_id, after), additional_headers=headers, max_size=None, open_timeout=60, **options
    )


async def messages_until(socket: Any, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while not found or found[-1]["type"] != kind:
            found.append(json.loads(await socket.recv()))
    return found


def sequence(messages: list[dict[str, Any]]) -> list[int]:
    return [chunk["seq"] for message in messages for chunk in message.get("chunks", [])]


async def test_line_reaches_fifty_viewers_quickly(web_server: WebServer, owner: User, log: Log) -> None:
    session = await in_database(session_of, owner)
    delays: list[list[float]] = [[] for _ in range(ROUNDS)]

    async def watch(ready: asyncio.Barrier) -> None:
        async with connect(web_server, log.run.pk, session) as socket:
            await messages_until(socket, "caught_up")
            await ready.wait()
            seen = 0
            while seen < 40 * ROUNDS:
                message = json.loads(await socket.recv())
                now = time.time()
                for chunk in message.get("chunks", []):
                    delays[seen // 40].append(now - float(chunk["text"]))
                    seen += 1

    def write_all() -> None:
        for _ in range(40 * ROUNDS):
            log.write(repr(time.time()))
            time.sleep(0.03)

    ready = asyncio.Barrier(51)
    viewers = [asyncio.create_task(watch(ready)) for _ in range(50)]
    async with asyncio.timeout(150):
        await ready.wait()
        await in_database(write_all)
        await asyncio.gather(*viewers)
    assert [len(one) for one in delays] == [50 * 40] * ROUNDS
    # Other work may share the machine and stop it for a second: the best of the rounds is what the panel can do.
    best = sorted(min(delays, key=sum))
    median, late = best[len(best) // 2], best[int(len(best) * 0.95)]
    print(f"\nwrite to frame, 50 viewers: median {median * 1000:.0f} ms, p95 {late * 1000:.0f} ms")
    # The real bounds (150 and 400 ms) are `make bench`'s to hold.
    assert median < 0.5
    assert late < 1.5


async def test_viewer_who_does_not_read_loses_nothing(web_server: WebServer, owner: User, log: Log) -> None:
    """Far more than sockets and mailbox hold: the server must wait, not gather, and go on from the database."""
    session = await in_database(session_of, owner)
    async with connect(web_server, log.run.pk, session, max_queue=1) as socket:
        await messages_until(socket, "caught_up")
        for _ in range(200):
            await in_database(log.write, "x" * 60_000)
        await in_database(log.state, "succeeded")
        got: list[int] = []
        async with asyncio.timeout(90):
            while len(got) < 200:
                got += sequence([json.loads(await socket.recv())])
    assert got == list(range(1, 201))


async def test_restart_of_the_server_loses_and_doubles_nothing(
    web_server: WebServer,
    owner: User,
    log: Log,
) -> None:
    session = await in_database(session_of, owner)
    await in_database(log.many, chunks=5)
    async with connect(web_server, log.run.pk, session) as socket:
        got = sequence(await messages_until(socket, "caught_up"))
        took = await asyncio.to_thread(web_server.stop)
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
    assert took < 12  # it would wait for 20 s for lines that do not end
    assert web_server.process.returncode in {0, -15}
    assert "Traceback" not in web_server.log.read_text()
    await in_database(log.write, "while away")
    second = await asyncio.to_thread(server_start, web_server.log.parent)
    try:
        async with connect(second, log.run.pk, session, after=got[-1]) as socket:
            got += sequence(await messages_until(socket, "caught_up"))
    finally:
        await asyncio.to_thread(second.stop)
    assert got == [1, 2, 3, 4, 5, 6]


async def test_page_of_another_site_is_refused(web_server: WebServer, owner: User, log: Log) -> None:
    session = await in_database(session_of, owner)
    cookie = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}", "Origin": "http://localhost:1"}
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(web_server.socket(log.run.pk), additional_headers=cookie, open_timeout=60)
    assert refused.value.response.status_code == 403


async def test_anonymous_gets_a_code(web_server: WebServer, log: Log) -> None:
    async with connect(web_server, log.run.pk, "") as socket:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd.code == 4401


async def test_huge_log_is_streamed_as_text(web_server: WebServer, owner: User, log: Log) -> None:
    import psutil
    import requests

    await in_database(log.many, chunks=1000, lines=10, text="line {number} " + "x" * 3000)
    session = await in_database(session_of, owner)

    def fetch() -> tuple[int, int]:
        process = psutil.Process(web_server.process.pid)
        before = process.memory_info().rss
        size, most = 0, before
        cookies = {settings.SESSION_COOKIE_NAME: session}
        with requests.get(
            f"{web_server.url}/runs/{log.run.pk}/log.txt", cookies=cookies, stream=True, timeout=90
        ) as answer:
            assert answer.status_code == 200
            for part in answer.iter_content(1 << 20):
                size += len(part)
                most = max(most, process.memory_info().rss)
        return size, most - before

    size, grown = await asyncio.to_thread(fetch)
    print(f"\nlog.txt: {size / 1e6:.0f} MB, the server grew by {grown / 1e6:.0f} MB")
    assert size > 30_000_000
    assert grown < 25_000_000
