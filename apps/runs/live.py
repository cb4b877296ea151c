"""The tailer: one thread per web process that reads what is new in watched runs and hands it to every viewer.

Viewers come and go on event loops; each has a mailbox of bounded size (`Watch`). The thread reads a
change once, makes its message once, and puts it into the mailboxes of all who watch that run. A viewer
that does not keep up loses its mailbox, not the log: it is told so and replays from the database.

What a viewer may rely on: everything committed after `watch()` returned is either in the mailbox, or
the mailbox has overflowed, or a `HEAD` says that the run is further than it was told.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from django.db import Error as DatabaseError
from django.db import connection

from apps.runs import frames
from apps.runs.listener import Listener, listener_open
from apps.runs.transcript import ChunkReader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apps.runs.transcript import Chunk

logger = logging.getLogger(__name__)

RECENT_LIMIT = 4 * 1024 * 1024  # characters of a watched run's log that are kept, as they were sent
MAILBOX_LIMIT = 1024 * 1024  # characters that wait for one viewer before it must replay
PACE = 0.08  # seconds between two looks: with fifty viewers each frame costs fifty
RETRY_LEAST, RETRY_MOST = 0.2, 5.0  # seconds between attempts while the database is away


class EventKind(enum.Enum):
    LOG = enum.auto()  # chunks `first` to `last`, without gaps
    HEAD = enum.auto()  # the run stands at `run`, its log reaches to `last`: changes are told from here on
    RUN = enum.auto()
    STEPS = enum.auto()
    GONE = enum.auto()  # the run was deleted


@dataclass(frozen=True, slots=True)
class Event:
    kind: EventKind
    text: str = ""
    first: int = 0
    last: int = 0
    chunks: tuple[Chunk, ...] = ()  # of LOG, for a viewer who has the first of them already
    run: frames.RunView | None = None  # of HEAD


class Watch:
    """One viewer's mailbox. Belongs to the viewer's event loop; use as a context manager."""

    def __init__(self, tailer: Tailer, run_id: int) -> None:
        self.run_id = run_id
        self.loop = asyncio.get_running_loop()
        self._tailer = tailer
        self._ready = asyncio.Event()
        self._events: deque[Event] = deque()
        self._size = 0
        self.behind = False  # the mailbox overflowed: what was in it is dropped

    def __enter__(self) -> Watch:
        self._tailer.add(self)
        return self

    def __exit__(self, *exc: object) -> None:
        self._tailer.remove(self)

    def put(self, events: Iterable[Event]) -> None:
        """Called on the viewer's loop only."""
        for event in events:
            self._events.append(event)
            self._size += len(event.text)
        if self._size > MAILBOX_LIMIT:
            self.empty()
            self.behind = True
        self._ready.set()

    def empty(self) -> None:
        """Forget all mail, because everything is about to be read from the database."""
        self._events.clear()
        self._size = 0
        self.behind = False

    async def take(self, timeout: float) -> list[Event]:
        """What has come, as soon as there is something; empty after `timeout` seconds, or when behind."""
        if not self._ready.is_set():
            try:
                await asyncio.wait_for(self._ready.wait(), timeout)
            except TimeoutError:
                return []
        self._ready.clear()
        taken = list(self._events)
        self._events.clear()
        self._size = 0
        return taken

    def recent(self, after: int) -> list[Event] | None:
        """The log from the chunk behind `after` to where it was handed out; None where only the database has it.

        Fifty viewers who each read the database to catch up with a busy run would never catch up.
        """
        return self._tailer.recent(self.run_id, after)


@dataclass(slots=True)
class _Followed:
    """A run that someone watches, and how much of it has been handed out."""

    reader: ChunkReader
    watches: set[Watch] = field(default_factory=set)
    recent: deque[Event] = field(default_factory=deque)  # of LOG, without gaps
    recent_size: int = 0
    run: frames.RunView | None = None  # None: not looked at yet
    steps: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)


class Tailer:
    """See the module. `watch` from any event loop; `stop` at the end of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._viewers_came = threading.Condition(self._lock)
        self._runs: dict[int, _Followed] = {}
        self._thread: threading.Thread | None = None
        self._listener: Listener | None = None
        self._stopping = threading.Event()

    def watch(self, run_id: int) -> Watch:
        """A mailbox for this run, open while its context lasts."""
        return Watch(self, run_id)

    @property
    def viewers(self) -> int:
        with self._lock:
            return sum(len(followed.watches) for followed in self._runs.values())

    def add(self, watch: Watch) -> None:
        with self._lock:
            followed = self._runs.get(watch.run_id)
            if followed is None:
                followed = self._runs[watch.run_id] = _Followed(ChunkReader(watch.run_id))
            followed.watches.add(watch)
            if self._thread is None:
                self._stopping.clear()
                self._thread = threading.Thread(target=self._work, name="run-tailer", daemon=True)
                self._thread.start()
            self._viewers_came.notify_all()
            self._wake()

    def recent(self, run_id: int, after: int) -> list[Event] | None:
        with self._lock:
            followed = self._runs.get(run_id)
            if followed is None or not followed.recent or followed.recent[0].first > after + 1:
                return None
            return [event for event in followed.recent if event.last > after]

    def remove(self, watch: Watch) -> None:
        with self._lock:
            followed = self._runs.get(watch.run_id)
            if followed is None:
                return
            followed.watches.discard(watch)
            if not followed.watches:
                del self._runs[watch.run_id]
            self._wake()

    def stop(self, timeout: float = 2.0) -> None:
        """End the thread and give its database connection back. Viewers get nothing more."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stopping.set()
            self._viewers_came.notify_all()
            self._wake()
        if thread is not None:
            thread.join(timeout)

    def _wake(self) -> None:
        if self._listener is not None:
            self._listener.wake()

    # In the thread.

    def _work(self) -> None:
        pause = RETRY_LEAST
        while self._await_viewers():
            try:
                self._follow()
                pause = RETRY_LEAST
            except (DatabaseError, psycopg.Error) as error:
                logger.warning("The log cannot be followed, next attempt in %.1f s: %s", pause, error)
                self._stopping.wait(pause)
                pause = min(RETRY_MOST, pause * 2)
            except Exception:
                logger.exception("The log's tailer failed and begins again.")
                self._stopping.wait(RETRY_MOST)
        connection.close()

    def _await_viewers(self) -> bool:
        """Sleep, without a database connection, until someone watches. False at the end of the process."""
        with self._lock:
            while not self._runs and not self._stopping.is_set():
                self._viewers_came.wait()
        return not self._stopping.is_set()

    def _follow(self) -> None:
        """Look at once, then each time the listener wakes, until nobody watches any more."""
        listener = listener_open()
        with self._lock:
            self._listener = listener
        try:
            looked = time.monotonic()
            while not self._stopping.is_set() and self._look():
                listener.wait()
                # What comes after a quiet moment is told at once, what comes in a stream in larger frames.
                self._stopping.wait(max(0.0, looked + PACE - time.monotonic()))
                looked = time.monotonic()
        finally:
            with self._lock:
                self._listener = None
            listener.close()

    def _look(self) -> bool:
        """Read what is new in every watched run and hand it out. False when none is watched."""
        with self._lock:
            runs = dict(self._runs)
        if not runs:
            return False
        views = frames.runs_read(runs)
        for run_id, followed in runs.items():
            view = views.get(run_id)
            if view is None:
                self._hand_out(followed, [Event(EventKind.GONE)])
            elif followed.run is None:
                self._begin(followed, view)
            elif view != followed.run or not view.ended:
                self._advance(run_id, followed, view)
        return True

    def _begin(self, followed: _Followed, view: frames.RunView) -> None:
        """The first look at a run: its viewers read the past themselves and need to know only how far it goes."""
        followed.steps = {}  # nothing was told yet, so the first change tells all of them
        followed.reader.after = view.last_seq
        followed.recent.clear()
        followed.recent_size = 0
        followed.run = view
        self._hand_out(followed, [Event(EventKind.HEAD, last=view.last_seq, run=view)])

    def _advance(self, run_id: int, followed: _Followed, view: frames.RunView) -> None:
        # The run's row was read before its chunks: so whoever hears of the end has the whole log before.
        before = followed.run
        assert before is not None
        self._hand_out_log(followed)
        events: list[Event] = []
        if view.steps_version != before.steps_version:
            events += self._changed_steps(run_id, followed, view.steps_version)
        if not view.same_but_for_counts(before):
            events.append(Event(EventKind.RUN, frames.run_message(view), last=view.last_seq))
        followed.run = view
        self._hand_out(followed, events)

    def _hand_out_log(self, followed: _Followed) -> None:
        more = True
        while more:
            chunks = followed.reader.read()
            events = [_log_event(batch) for batch in frames.log_batches(chunks)]
            self._keep(followed, events)
            self._hand_out(followed, events)
            more = followed.reader.more

    def _keep(self, followed: _Followed, events: list[Event]) -> None:
        with self._lock:
            followed.recent.extend(events)
            followed.recent_size += sum(len(event.text) for event in events)
            while followed.recent_size > RECENT_LIMIT:
                followed.recent_size -= len(followed.recent.popleft().text)

    def _changed_steps(self, run_id: int, followed: _Followed, version: int) -> list[Event]:
        cells = _cells(frames.steps_read(run_id))
        changed = [cell for key, cell in cells.items() if followed.steps.get(key) != cell]
        followed.steps = cells
        return [Event(EventKind.STEPS, frames.steps_message(version, changed), last=version)] if changed else []

    def _hand_out(self, followed: _Followed, events: list[Event]) -> None:
        """One call per event loop, however many watch."""
        if not events:
            return
        loops: dict[asyncio.AbstractEventLoop, list[Watch]] = defaultdict(list)
        with self._lock:
            for watch in followed.watches:
                loops[watch.loop].append(watch)
        for loop, watches in loops.items():
            try:
                loop.call_soon_threadsafe(_deliver, watches, events)
            except RuntimeError:  # the loop is closed, and its viewers with it
                for watch in watches:
                    self.remove(watch)


def _deliver(watches: list[Watch], events: list[Event]) -> None:
    for watch in watches:
        watch.put(events)


def _log_event(chunks: list[Chunk]) -> Event:
    return Event(
        EventKind.LOG, frames.log_message(chunks), first=chunks[0].seq, last=chunks[-1].seq, chunks=tuple(chunks)
    )


def _cells(steps: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(step["host"], step["stage"]): step for step in steps}


tailer = Tailer()
