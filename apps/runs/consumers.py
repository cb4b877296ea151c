"""The WebSocket of a run: replays its log from any sequence number on, then follows it.

`/ws/runs/ID/?after=SEQ` sends the messages that `frames.py` lists. It closes with 4401 (not signed in),
4404 (no such run, or none that this person may see), 4403 (the right was withdrawn while watching)
or 1013 (the database is away: try again).
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import Error as DatabaseError
from django.utils import timezone

from apps.runs import frames
from apps.runs.live import Event, EventKind, Watch, tailer
from apps.runs.reading import read
from apps.runs.transcript import ChunkReader
from apps.runs.viewer import Standing, standing

if TYPE_CHECKING:
    from apps.runs.transcript import Chunk

logger = logging.getLogger(__name__)

RECHECK_INTERVAL = 3.0  # seconds between two looks at the viewer's session and right
BEAT_INTERVAL = 15.0  # seconds of silence after which the viewer is told that the line is alive

NOT_SIGNED_IN, WITHDRAWN, UNKNOWN, TRY_AGAIN = 4401, 4403, 4404, 1013


class _Closed(Exception):
    """The viewer has to go. `code` tells why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class RunConsumer(AsyncWebsocketConsumer):
    """One viewer of one run: a single task that sends, so that nothing can overtake anything."""

    task: asyncio.Task[None] | None = None
    told: frames.RunView  # the run as the last replay read it

    async def connect(self) -> None:
        await self.accept()  # a code can only be sent on an open line
        self.run_id = int(self.scope["url_route"]["kwargs"]["run_id"])
        self.session_key = str(self.scope["cookies"].get(settings.SESSION_COOKIE_NAME, ""))
        self.sent = _after(self.scope)
        self.checked = self.spoke = time.monotonic()
        self.task = asyncio.create_task(self._serve())

    async def disconnect(self, code: int) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])

    async def _serve(self) -> None:
        try:
            await self._check(UNKNOWN)
            with tailer.watch(self.run_id) as watch:
                while True:
                    await self._replay(watch)
                    await self._follow(watch)
        except _Closed as closed:
            await self.close(closed.code)
        except DatabaseError as error:
            logger.warning("Run %s cannot be shown: %s", self.run_id, error)
            await self.close(TRY_AGAIN)
        except Exception:
            logger.exception("The viewer of run %s failed.", self.run_id)
            await self.close(1011)

    async def _replay(self, watch: Watch) -> None:
        """All there is from where this viewer stands: what was just sent to others, and before that, the database.

        Mail from before is superseded.
        """
        watch.empty()
        run, steps = await read(self._snapshot)
        self.told = run
        await self._tell(frames.run_message(run))
        await self._tell(frames.steps_message(run.steps_version, steps))
        reader = ChunkReader(self.run_id, after=self.sent)
        while reader.more:
            if (recent := watch.recent(self.sent)) is not None:
                for event in recent:
                    await self._pass_on(event)
                    await self._check_sometimes()
                break
            for batch in frames.log_batches(await read(reader.read)):
                await self._tell_log(batch)
        await self._tell(frames.message("caught_up", seq=self.sent))

    def _snapshot(self) -> tuple[frames.RunView, list[dict[str, Any]]]:
        run = frames.runs_read([self.run_id]).get(self.run_id)
        if run is None:
            raise _Closed(UNKNOWN)
        return run, frames.steps_read(self.run_id)

    async def _follow(self, watch: Watch) -> None:
        """Hand on what comes, until the mailbox has overflowed or the log has a gap."""
        while not watch.behind:
            for event in await watch.take(timeout=RECHECK_INTERVAL):
                if not await self._pass_on(event):
                    return
            await self._check_sometimes()
            if time.monotonic() - self.spoke > BEAT_INTERVAL:
                await self._tell(frames.message("beat", now=timezone.now().isoformat()))

    async def _pass_on(self, event: Event) -> bool:
        """Send one event. False when this viewer lacks something that came before it."""
        if event.kind is EventKind.GONE:
            raise _Closed(UNKNOWN)
        if event.kind is EventKind.HEAD:
            return event.last <= self.sent and event.run is not None and self._knows(event.run)
        if event.kind is EventKind.LOG:
            if event.last <= self.sent:
                return True
            if event.first > self.sent + 1:
                return False
            if event.first <= self.sent:  # a replay ended in the middle of it: the rest is what is new
                await self._tell_log([chunk for chunk in event.chunks if chunk.seq > self.sent])
                return True
            self.sent = event.last
        await self._tell(event.text)
        return True

    def _knows(self, run: frames.RunView) -> bool:
        """Whether what this viewer was told is not older than this."""
        return run.steps_version <= self.told.steps_version and run.same_but_for_counts(self.told)

    async def _tell_log(self, chunks: list[Chunk]) -> None:
        await self._tell(frames.log_message(chunks))
        self.sent = chunks[-1].seq
        await self._check_sometimes()

    async def _tell(self, text: str) -> None:
        await self.send(text_data=text)  # waits while the viewer's line is full
        self.spoke = time.monotonic()

    async def _check_sometimes(self) -> None:
        if time.monotonic() - self.checked > RECHECK_INTERVAL:
            await self._check(WITHDRAWN)

    async def _check(self, refusal: int) -> None:
        found = await read(lambda: standing(self.session_key, self.run_id))
        self.checked = time.monotonic()
        if found is Standing.NOT_SIGNED_IN:
            raise _Closed(NOT_SIGNED_IN)
        if found is Standing.NO_SUCH_RUN:
            raise _Closed(refusal)


def _after(scope: dict[str, Any]) -> int:
    """The last sequence number that the viewer has, 0 when it has none or says something unreadable."""
    given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("after", [""])[-1]
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
