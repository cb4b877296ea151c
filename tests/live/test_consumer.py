"""The WebSocket: who may watch, what is replayed, what follows, and when it ends."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session

from apps.access.levels import Level
from apps.access.models import Subject
from apps.runs import consumers, live
from apps.runs.live import Tailer
from apps.runs.models import Run
from tests.live.communicator import WebsocketCommunicator
from tests.live.server import session_of
from tests.live.writer import Log, in_database
from tests.support.cast import grant

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def quick_rechecks(monkeypatch: pytest.MonkeyPatch, tailer: Tailer) -> None:
    monkeypatch.setenv("DEPLOYPANEL_ROLE", "command")  # asgi.py says `web`, and children would believe it
    monkeypatch.setattr(consumers, "RECHECK_INTERVAL", 0.15)


@pytest.fixture
def viewer_of(teammate: User, subject: Subject) -> User:
    """Someone who may see the subject, and nothing more."""
    grant(teammate, subject, Level.VIEW)
    return teammate


class Viewer:
    """A browser's end of the line."""

    def __init__(self, communicator: WebsocketCommunicator) -> None:
        self._communicator = communicator

    async def next(self, timeout: float = 30) -> dict[str, Any]:
        return json.loads(await self._communicator.receive_from(timeout))

    async def until(self, kind: str) -> list[dict[str, Any]]:
        messages = [await self.next()]
        while messages[-1]["type"] != kind:
            messages.append(await self.next())
        return messages

    async def lines(self, count: int) -> list[str]:
        """The next `count` lines of the log, whatever else is told in between."""
        found: list[str] = []
        while len(found) < count:
            message = await self.next()
            for chunk in message.get("chunks", []):
                found += chunk["text"].removesuffix("\n").split("\n")
        return found

    async def code(self) -> int:
        """What the server closes with."""
        while True:
            output = await self._communicator.receive_output(30)
            if output["type"] == "websocket.close":
                return int(output["code"])


def communicator(run_id: int, headers: list[tuple[bytes, bytes]], query: str = "") -> WebsocketCommunicator:
    from deploypanel.asgi import application  # looks for the static files' folder, which each test has its own

    return WebsocketCommunicator(application, f"/ws/runs/{run_id}/{query}", headers)


@asynccontextmanager
async def watching(
    run_id: int, session: str = "", query: str = "", headers: list[tuple[bytes, bytes]] | None = None
) -> AsyncIterator[Viewer]:
    cookie = (b"cookie", f"{settings.SESSION_COOKIE_NAME}={session}".encode())
    line = communicator(run_id, [(b"host", b"localhost:8000"), cookie, *(headers or [])], query)
    assert await line.connect()
    try:
        yield Viewer(line)
    finally:
        await line.disconnect()


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [chunk["text"] for message in messages for chunk in message.get("chunks", [])]


async def test_replays_then_follows(viewer_of: User, log: Log) -> None:
    session = await in_database(session_of, viewer_of)
    await in_database(log.write, "one")
    await in_database(log.write, "two", host="web1", stream="err")
    async with watching(log.run.pk, session) as viewer:
        replay = await viewer.until("caught_up")
        assert [message["type"] for message in replay] == ["run", "steps", "log", "caught_up"]
        assert texts(replay) == ["one\n", "two\n"]
        assert replay[0]["run"]["state"] == "running"
        assert replay[-1]["seq"] == 2
        await in_database(log.write, "three")
        assert await viewer.lines(1) == ["three"]


async def test_state_and_step_changes_are_told(viewer_of: User, log: Log) -> None:
    session = await in_database(session_of, viewer_of)
    async with watching(log.run.pk, session) as viewer:
        await viewer.until("caught_up")
        await in_database(log.step, "web1", "copy", "running")
        (step,) = (await viewer.until("steps"))[-1]["steps"]
        assert (step["host"], step["state"], step["state_label"]) == ("web1", "running", "Running")
        await in_database(log.state, "failed", summary="web1: no space left")
        run = (await viewer.until("run"))[-1]["run"]
        assert (run["state"], run["ended"], run["stoppable"]) == ("failed", True, False)
        assert run["summary"] == "web1: no space left"


@pytest.mark.parametrize("change", ["step", "state"])
async def test_change_between_the_replay_and_the_tailer_s_first_look_is_told(
    viewer_of: User, log: Log, tailer: Tailer, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    replayed = threading.Event()
    look, snapshot = tailer._look, consumers.RunConsumer._snapshot

    def late_look() -> bool:
        replayed.wait(30)
        return look()

    def then_a_change(consumer: consumers.RunConsumer) -> Any:
        found = snapshot(consumer)
        if not replayed.is_set():
            log.step("web1", "copy", "running") if change == "step" else log.state("failed", summary="no space left")
            replayed.set()
        return found

    monkeypatch.setattr(tailer, "_look", late_look)
    monkeypatch.setattr(consumers.RunConsumer, "_snapshot", then_a_change)
    session = await in_database(session_of, viewer_of)
    async with watching(log.run.pk, session) as viewer:
        await viewer.until("caught_up")
        told = await viewer.until("caught_up")
    by_kind = {message["type"]: message for message in told}
    if change == "step":
        assert [step["state"] for step in by_kind["steps"]["steps"]] == ["running"]
    else:
        assert by_kind["run"]["run"]["state"] == "failed"


async def test_reconnect_loses_and_doubles_nothing(viewer_of: User, log: Log) -> None:
    session = await in_database(session_of, viewer_of)
    await in_database(log.many, chunks=40, lines=10)
    async with watching(log.run.pk, session) as viewer:
        await viewer.until("caught_up")
    await in_database(log.write, "while away")
    async with watching(log.run.pk, session, "?after=40") as viewer:
        await in_database(log.write, "back again")
        assert await viewer.lines(2) == ["while away", "back again"]


@pytest.mark.parametrize("query", ["?after=", "?after=x", "?after=-1", "?after=99999999999999999999", "?after=%F0%9F"])
async def test_unreadable_after_means_from_the_beginning(viewer_of: User, log: Log, query: str) -> None:
    session = await in_database(session_of, viewer_of)
    await in_database(log.write, "one")
    async with watching(log.run.pk, session, query) as viewer:
        assert texts(await viewer.until("caught_up")) == ["one\n"]


async def test_after_beyond_the_end_waits_for_what_follows(viewer_of: User, log: Log) -> None:
    session = await in_database(session_of, viewer_of)
    await in_database(log.many, chunks=3)
    async with watching(log.run.pk, session, "?after=3") as viewer:
        assert texts(await viewer.until("caught_up")) == []
        await in_database(log.write, "new")
        assert await viewer.lines(1) == ["new"]


async def test_long_past_comes_whole_in_bounded_frames(viewer_of: User, log: Log) -> None:
    session = await in_database(session_of, viewer_of)
    await in_database(log.many, chunks=300, lines=100, text="line {number} " + "x" * 50)
    async with watching(log.run.pk, session) as viewer:
        replay = await viewer.until("caught_up")
    frames = [message for message in replay if message["type"] == "log"]
    assert max(sum(len(chunk["text"]) for chunk in frame["chunks"]) for frame in frames) <= 256 * 1024
    lines = "".join(texts(replay)).splitlines()
    assert len(lines) == 30_000
    assert lines[-1].startswith("line 30000 ")
    sequence = [chunk["seq"] for frame in frames for chunk in frame["chunks"]]
    assert sequence == list(range(1, 301))


async def test_viewer_that_falls_behind_replays_and_misses_nothing(
    viewer_of: User, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAILBOX_LIMIT", 4000)
    sent = consumers.RunConsumer.send
    slow = asyncio.Event()

    async def crawl(self: Any, *args: Any, **values: Any) -> None:
        while slow.is_set():
            await asyncio.sleep(0.02)  # the line is full
        await sent(self, *args, **values)

    monkeypatch.setattr(consumers.RunConsumer, "send", crawl)
    replays: list[int] = []
    replay = consumers.RunConsumer._replay

    async def counted(self: Any, watch: live.Watch) -> None:
        replays.append(self.sent)
        await replay(self, watch)

    monkeypatch.setattr(consumers.RunConsumer, "_replay", counted)
    session = await in_database(session_of, viewer_of)
    async with watching(log.run.pk, session) as viewer:
        await viewer.until("caught_up")
        slow.set()
        for number in range(60):
            await in_database(log.write, f"line {number} " + "x" * 500)
        slow.clear()
        lines = await viewer.lines(60)
    assert [int(line.split()[1]) for line in lines] == list(range(60))
    assert len(replays) > 1


async def test_withdrawn_right_closes(viewer_of: User, subject: Subject, log: Log) -> None:
    session = await in_database(session_of, viewer_of)
    async with watching(log.run.pk, session) as viewer:
        await viewer.until("caught_up")
        await in_database(grant, viewer_of, subject, Level.NONE)
        assert await viewer.code() == 4403


async def test_signing_out_closes(viewer_of: User, log: Log) -> None:
    session = await in_database(session_of, viewer_of)
    async with watching(log.run.pk, session) as viewer:
        await viewer.until("caught_up")
        await in_database(Session.objects.all().delete)
        assert await viewer.code() == 4401


async def test_switched_off_account_closes(viewer_of: User, log: Log) -> None:
    session = await in_database(session_of, viewer_of)
    async with watching(log.run.pk, session) as viewer:
        await viewer.until("caught_up")
        await in_database(User.objects.filter(pk=viewer_of.pk).update, is_active=False)
        assert await viewer.code() == 4401


@pytest.mark.parametrize("session", ["", "nonsense", "x" * 500])
async def test_anonymous_is_sent_away_without_a_word(log: Log, session: str) -> None:
    await in_database(log.write, "secret")
    async with watching(log.run.pk, session) as viewer:
        assert await viewer.code() == 4401


async def test_outsider_cannot_tell_a_run_from_none(outsider: User, log: Log) -> None:
    session = await in_database(session_of, outsider)
    for run_id in (log.run.pk, log.run.pk + 1000):
        async with watching(run_id, session) as viewer:
            assert await viewer.code() == 4404


async def test_run_without_subject_is_for_superusers(
    owner: User, viewer_of: User, make_run: Callable[..., Run]
) -> None:
    run = await in_database(make_run, subject=None)
    async with watching(run.pk, await in_database(session_of, viewer_of)) as viewer:
        assert await viewer.code() == 4404
    async with watching(run.pk, await in_database(session_of, owner)) as viewer:
        await viewer.until("caught_up")


async def test_deleted_run_closes(owner: User, log: Log) -> None:
    async with watching(log.run.pk, await in_database(session_of, owner)) as viewer:
        await viewer.until("caught_up")
        await in_database(Run.objects.all().delete)
        assert await viewer.code() in {4403, 4404}  # whichever look comes first


async def test_silent_line_beats(owner: User, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "BEAT_INTERVAL", 0.2)
    async with watching(log.run.pk, await in_database(session_of, owner)) as viewer:
        await viewer.until("caught_up")
        assert (await viewer.next())["type"] == "beat"


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (b"http://localhost:8000", b"localhost:8000", True),
        (None, b"localhost:8000", True),
        (b"http://localhost:9000", b"localhost:8000", False),
        (b"https://evil.example", b"localhost:8000", False),
        (b"null", b"localhost:8000", False),
        (b"http://evil.example", b"evil.example", False),
    ],
)
async def test_pages_of_others_are_refused(origin: bytes | None, host: bytes, allowed: bool, log: Log) -> None:
    headers = [(b"host", host)] + ([(b"origin", origin)] if origin else [])
    line = communicator(log.run.pk, headers)
    assert await line.connect() is allowed
    await line.disconnect()


async def test_unknown_address_is_refused_at_the_door() -> None:
    assert not await communicator(0, [(b"host", b"localhost")], "../../other/").connect()
