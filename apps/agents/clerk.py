"""The clerk: one thread per web process that writes down what agents say.

Reports of many agents that arrive together are stored in one transaction. Signs of life are only remembered, and
written every few seconds for all agents at once.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import Error as DatabaseError
from django.db import connection, reset_queries

from apps.agents import protocol
from apps.agents.services.arrive import agent_arrive, agent_depart, agents_depart, agents_seen, runs_beat
from apps.agents.services.report import Report, reports_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apps.agents.hub import Hub
    from apps.agents.line import Line
    from apps.agents.protocol import Hello
    from apps.agents.services.arrive import Arrival
    from apps.agents.services.report import Stored

logger = logging.getLogger(__name__)
TOGETHER = 25  # reports in one transaction, so that nobody else waits long for the database
BEATS_EVERY = 5.0  # seconds between two writings of which runs are worked on
SEEN_EVERY = 15.0  # the same of which agents were heard
WAKE_EVERY, WAKE_IDLE = 1.0, 5.0  # seconds without a job, with and without agents


@dataclass(slots=True)
class Job:
    """Something to write, and who waits for it."""

    what: Report | Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]

    def settle(self, result: Any) -> None:
        """With what came of it, or the exception. The loop may be gone: then nobody waits."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(_set, self.answer, result)


def _set(answer: asyncio.Future[Any], result: Any) -> None:
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


class Clerk:
    """See the module. All but `stop` from event loops; `hub` knows the lines."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._beats: dict[int, set[int]] = defaultdict(set)  # runs, by agent
        self._departed: list[str] = []  # sessions
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._beats_at = self._seen_at = 0.0

    async def arrive(self, *, key_digest: str, transport: str, address: str, hello: Hello) -> tuple[Arrival, str, int]:
        """Who has come, its session and its number; raises LookupError for an unknown key, DatabaseError."""

        def work() -> tuple[Arrival, str, int]:
            session, number = self._hub.session_new(), self._hub.number_new()
            arrival = agent_arrive(
                key_digest=key_digest, session=session, transport=transport, address=address, hello=hello
            )
            if arrival is None:
                raise LookupError("no agent has this key")
            return arrival, session, number

        found: tuple[Arrival, str, int] = await self._asked(work)
        return found

    async def store(self, line: Line, events: protocol.Events) -> Stored:
        """Store a report; its answer. Raises DatabaseError when the database is away."""
        stored: Stored = await self._asked(Report(line.agent, events))
        if stored.ended and line.lingering.pop(events.run, None) is not None:
            self._hub.wake()
        return stored

    def beat(self, line: Line, beat: protocol.Beat) -> None:
        if beat.runs:
            with self._lock:
                first = not self._beats
                self._beats[line.agent].update(beat.runs)
            if first:
                self._jobs.put(None)

    def depart(self, session: str) -> None:
        """The session is over. It is written down when that is possible."""
        with self._lock:
            self._departed.append(session)
        self._jobs.put(None)
        self._open()

    def stop(self, timeout: float = 5.0) -> None:
        """Write down that all are gone, and end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            self._jobs.put(None)
            thread.join(timeout)

    async def _asked(self, what: Report | Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        job = Job(what, loop, loop.create_future())
        self._jobs.put(job)
        self._open()
        return await job.answer

    def _open(self) -> None:
        with self._lock:
            if self._thread is None:
                self._stopping.clear()
                self._thread = threading.Thread(target=self._serve, name="agents-clerk", daemon=True)
                self._thread.start()

    # In the thread.

    def _serve(self) -> None:
        while not self._stopping.is_set():
            jobs = self._taken()
            self._carry_out([job for job in jobs if callable(job.what)])
            reports = [job for job in jobs if isinstance(job.what, Report)]
            for start in range(0, len(reports), TOGETHER):
                self._store(reports[start : start + TOGETHER])
            self._guarded(self._write_departures)
            self._guarded(self._write_signs)
            reset_queries()
            if not jobs:  # a quiet second
                connection.close()
        self._guarded(lambda: agents_depart(prefix=self._hub.prefix))
        connection.close()

    def _taken(self) -> list[Job]:
        """All that waits, at the latest after WAKE_EVERY seconds, and at most so much that it is done soon."""
        taken: list[Job] = []
        wait = WAKE_EVERY if self._hub.lines() or self._departed else WAKE_IDLE
        while len(taken) < 4 * TOGETHER:
            try:
                job = self._jobs.get_nowait() if taken else self._jobs.get(timeout=wait)
            except queue.Empty:
                break
            if job is None:
                break
            taken.append(job)
        return taken

    def _carry_out(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            assert callable(job.what)
            try:
                job.settle(job.what())
            except Exception as error:  # noqa: BLE001 - who asked for it deals with it
                self._mind(error)
                job.settle(error)

    def _store(self, jobs: Sequence[Job]) -> None:
        """Together; when that fails, one by one, so that one bad report harms none of the others."""
        reports = [job.what for job in jobs if isinstance(job.what, Report)]
        try:
            stored = reports_store(reports)
        except Exception as error:
            self._mind(error)
            if len(jobs) > 1 and not isinstance(error, DatabaseError):
                for job in jobs:
                    self._store([job])
                return
            if not isinstance(error, DatabaseError):
                logger.exception("What an agent reported of run %s cannot be stored.", reports[0].events.run)
            for job in jobs:
                job.settle(error)
        else:
            for job, answer in zip(jobs, stored, strict=True):
                job.settle(answer)

    def _write_departures(self) -> None:
        with self._lock:
            sessions, self._departed = self._departed, []
        try:
            for session in sessions:
                agent_depart(session=session)
        except DatabaseError:
            with self._lock:
                self._departed += sessions
            raise

    def _write_signs(self) -> None:
        now = time.monotonic()
        if now - self._beats_at >= BEATS_EVERY:
            self._beats_at = now
            self._sweep(now)
            with self._lock:
                beats, self._beats = self._beats, defaultdict(set)
            if beats:
                runs_beat(beats=beats)
        if now - self._seen_at >= SEEN_EVERY:
            before, self._seen_at = self._seen_at, now
            if heard := [line.agent for line in self._hub.lines() if line.heard >= before]:
                agents_seen(agent_ids=heard)

    def _sweep(self, now: float) -> None:
        for line in self._hub.lines():
            if now - line.heard > line.patience:
                self._hub.close(line, protocol.TRY_AGAIN)
                self.depart(line.session)

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except DatabaseError as error:
            logger.warning("What agents say cannot be written now: %s", error)
            self._mind(error)
        except Exception:
            logger.exception("The agents' clerk failed at a part of its work.")

    def _mind(self, error: Exception) -> None:
        """A connection that failed is given up; the next work opens another."""
        if isinstance(error, DatabaseError):
            connection.close()
