"""The hooks' short way through the real ASGI application: the same answers, fifty at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from apps.environments.models import Environment
from apps.repos.models import Repository
from apps.runs.models import Run
from apps.triggers import desk, views
from apps.triggers.models import Delivery
from tests.triggers.conftest import body_of, headers_of
from tests.triggers.desks import desk_open

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[desk.Desk]:
    with desk_open(monkeypatch) as opened:
        yield opened


async def ask(
    application: desk.Desk, body: bytes, headers: dict[str, str], path: str = "/hooks/github", method: str = "POST"
) -> tuple[int, bytes, dict[bytes, bytes]]:
    half = len(body) // 2
    incoming = [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:], "more_body": False},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path.partition("?")[0],
        "query_string": path.partition("?")[2].encode(),
        "headers": [*raw, (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
        "client": ("192.0.2.7", 4711),
        "server": ("127.0.0.1", 8000),
    }
    await application(scope, receive, send)
    return sent[0]["status"], sent[1].get("body", b""), dict(sent[0]["headers"])


def signed(number: int = 0, **changes: Any) -> tuple[bytes, dict[str, str]]:
    body = body_of("github_push", **changes)
    return body, headers_of("github", body, delivery=f"number-{number}")


def test_it_answers_as_the_view_does(staging: Environment, application: desk.Desk) -> None:
    status, body, headers = asyncio.run(ask(application, *signed()))
    assert status == 202
    assert json.loads(body)["runs"] == [Run.objects.get().pk]
    assert headers[b"content-type"] == b"application/json"
    assert int(headers[b"content-length"]) == len(body)
    assert asyncio.run(ask(application, b"{", {}))[0] == 400
    assert asyncio.run(ask(application, signed()[0], {}))[0] == 401
    assert asyncio.run(ask(application, b"{}", {}, "/hooks/nowhere"))[0] == 404
    assert asyncio.run(ask(application, *signed(2), "/hooks/github?repository=nothing"))[0] == 401
    body, headers_in = signed()
    assert asyncio.run(ask(application, body, headers_in | {"X-GitHub-Event": "issues"}))[0] == 204


def test_everything_else_goes_the_usual_way(application: desk.Desk) -> None:
    for path, method in (("/admin/", "POST"), ("/hooks/github", "GET"), ("/", "GET")):
        assert asyncio.run(ask(application, b"", {}, path, method))[0] == 418


def test_a_body_that_is_too_large(shop: Repository, application: desk.Desk, settings: Any) -> None:
    settings.HOOK_BODY_LIMIT = settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    assert asyncio.run(ask(application, b"x" * 5000, {}))[0] == 413
    assert asyncio.run(ask(application, b"x" * 1000, {}))[0] == 400


def test_more_bodies_at_once_than_are_held(
    shop: Repository, application: desk.Desk, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HOOK_BODY_LIMIT = 1000
    room, scope = application.hooks.room, {"type": "http", "method": "POST", "path": "/hooks/github"}

    def slowly(then: asyncio.Future[Any]) -> Any:
        """A caller who sends nearly the most that is allowed, and then nothing more."""
        parts = [{"type": "http.request", "body": b"x" * 999, "more_body": True}]

        async def receive() -> Any:
            return parts.pop() if parts else await then

        return receive

    async def nothing(_message: Any) -> None:
        raise AssertionError("nobody waits for an answer")

    async def all_at_once() -> None:
        left: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        callers = [asyncio.create_task(application(scope, slowly(left), nothing)) for _ in range(8)]
        while room.held < 8 * 999:
            await asyncio.sleep(0)
        assert (await ask(application, b"{}", {}))[0] == 401
        assert (await ask(application, b"x" * 1000, {}))[0] == 503
        left.set_result({"type": "http.disconnect"})
        await asyncio.gather(*callers)
        assert room.held == 0
        assert (await ask(application, b"x" * 1000, {}))[0] == 400

    async def one_who_never_ends() -> None:
        await application(scope, slowly(asyncio.get_running_loop().create_future()), nothing)
        assert room.held == 0

    asyncio.run(all_at_once())
    monkeypatch.setattr(desk, "READ_TIMEOUT", 0.2)
    asyncio.run(one_who_never_ends())


def test_an_error_of_ours_is_a_500_and_the_next_is_served(
    staging: Environment, application: desk.Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(views, "hook_receive", broken)
        status, body, _ = asyncio.run(ask(application, *signed()))
    assert status == 500
    assert b"ZeroDivision" not in body
    assert asyncio.run(ask(application, *signed()))[0] == 202


def test_one_connection_serves_what_comes_soon_and_a_broken_one_is_replaced(
    shop: Repository, application: desk.Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "LINGER", 10)
    used: list[Any] = []
    real = views.hook_receive

    def watched(**given: Any) -> Any:
        connection.ensure_connection()
        used.append(connection.connection)
        if len(used) == 3:
            connection.connection.close()
        return real(**given)

    monkeypatch.setattr(views, "hook_receive", watched)
    statuses = [asyncio.run(ask(application, *signed(number)))[0] for number in range(5)]
    assert statuses == [202, 202, 500, 202, 202]
    assert [one is used[0] for one in used[:3]] == [True] * 3
    assert [one is used[0] for one in used[3:]] == [False] * 2
    monkeypatch.setattr(desk, "LINGER", 0.01)
    asyncio.run(ask(application, *signed(9)))


def test_fifty_at_once(shop: Repository, application: desk.Desk) -> None:
    calls = [signed(number) for number in range(51)]

    async def burst() -> list[tuple[float, int]]:
        async def one(call: tuple[bytes, dict[str, str]]) -> tuple[float, int]:
            began = time.perf_counter()
            status, _, _ = await ask(application, *call)
            return time.perf_counter() - began, status

        await one(calls[0])
        return await asyncio.gather(*(one(call) for call in calls[1:]))

    found = sorted(asyncio.run(burst()))
    print(f"50 at once: median {found[25][0] * 1000:.0f} ms, slowest {found[-1][0] * 1000:.0f} ms")
    assert {status for _, status in found} == {202}
    assert Delivery.objects.count() == 51
