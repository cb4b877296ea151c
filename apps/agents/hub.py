"""The hub: one thread per web process that hands work to the agents connected to it.

It sleeps until the database has changed (as the logs' tailer does), asks one cheap question, and only where that
finds something does more. What it decides is in hand_over.py, what it writes in services/hand_over.py. The database
is the truth: of what was sent, a line only remembers that it was, so that nothing is sent twice down one line.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from collections import defaultdict
from itertools import groupby
from typing import TYPE_CHECKING

import psycopg
from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone

from apps.agents import protocol
from apps.agents.bell import CHANNEL
from apps.agents.hand_over import Plan, plan
from apps.agents.selectors import lines_standing, orders_open, sessions_count
from apps.agents.services.give_up import orders_give_up
from apps.agents.services.hand_over import orders_begin, orders_tell_again
from apps.runs.listener import Listener, listener_open

if TYPE_CHECKING:
    import asyncio

    from apps.agents.line import Line

logger = logging.getLogger(__name__)
PACE = 0.02  # seconds between two looks: what comes after a quiet moment is handed over at once
PAUSES = 2.0  # for so many times as long as a look took, none follows: with a thousand agents at work it takes longer
RETRY_LEAST, RETRY_MOST = 0.2, 5.0  # seconds between attempts while the database is away
Outgoing = dict["Line", list[str]]


class Hub:
    """See the module. `join` and `leave` from event loops; `stop` at the end of the process."""

    def __init__(self) -> None:
        self.prefix = f"{secrets.token_hex(5)}:"  # of the sessions of this process
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._lines: dict[int, Line] = {}  # by agent
        self._thread: threading.Thread | None = None
        self._listener: Listener | None = None
        self._stopping = threading.Event()

    def session_new(self) -> str:
        return f"{self.prefix}{secrets.token_hex(10)}"

    def number_new(self) -> int:
        """Counts up: taken where the database learns of a session, so that both agree on which is newer."""
        return next(self._numbers)

    def join(self, line: Line) -> None:
        """From now on this line is its agent's; an older one is closed, and an older one that comes late is this."""
        with self._changed:
            other = self._lines.get(line.agent)
            if other is not None and other.number > line.number:
                self._shut(line, protocol.NEWER_LINE)
                return
            self._lines[line.agent] = line
            if other is not None:
                self._shut(other, protocol.NEWER_LINE)
            if self._thread is None:
                self._stopping.clear()
                self._thread = threading.Thread(target=self._work, name="agents-hub", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        self.wake()

    def leave(self, line: Line) -> None:
        with self._changed:
            if self._lines.get(line.agent) is line:
                del self._lines[line.agent]
        self.wake()

    def close(self, line: Line, code: int) -> None:
        """From any thread: the line is over."""
        self.leave(line)
        self._shut(line, code)

    def lines(self) -> list[Line]:
        with self._changed:
            return list(self._lines.values())

    def wake(self) -> None:
        """Have it look now."""
        with self._changed:
            if self._listener is not None:
                self._listener.wake()

    def stop(self, timeout: float = 2.0) -> None:
        """End the thread and give its connection back. Nobody is told anything any more."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._stopping.set()
            self._changed.notify_all()
        self.wake()
        if thread is not None:
            thread.join(timeout)

    # In the thread.

    def _work(self) -> None:
        pause = RETRY_LEAST
        while self._await_lines():
            try:
                self._follow()
                pause = RETRY_LEAST
            except (DatabaseError, psycopg.Error) as error:
                logger.warning("Agents get no work now, next attempt in %.1f s: %s", pause, error)
                connection.close()
                self._stopping.wait(pause)
                pause = min(RETRY_MOST, pause * 2)
            except Exception:
                logger.exception("The agents' hub failed and begins again.")
                self._stopping.wait(RETRY_MOST)
        connection.close()

    def _await_lines(self) -> bool:
        """Sleep, without a connection, until an agent is there. False at the end of the process."""
        with self._changed:
            while not self._lines and not self._stopping.is_set():
                self._changed.wait()
        return not self._stopping.is_set()

    def _follow(self) -> None:
        listener = listener_open(CHANNEL)
        with self._changed:
            self._listener = listener
        try:
            while not self._stopping.is_set() and (lines := self._by_agent()):
                looked = time.monotonic()
                more = self._look(lines)
                waited = 0.0 if more else _waited(listener)
                took = time.monotonic() - looked - waited
                self._stopping.wait(max(0.0, max(PACE, PAUSES * took) - waited))
        finally:
            with self._changed:
                self._listener = None
            listener.close()

    def _by_agent(self) -> dict[int, Line]:
        with self._changed:
            return dict(self._lines)

    def _look(self, lines: dict[int, Line]) -> bool:
        """Find what the agents are to be told, and tell them. True when there is more of it than was done."""
        if sessions_count(self.prefix) != len(lines):
            self._check(lines)
        now = timezone.now()
        plans: dict[Line, Plan] = {}
        orders = orders_open(self.prefix, now)
        opens = {agent: list(own) for agent, own in groupby(orders, key=lambda order: order.agent)}
        for agent, line in lines.items():
            own = opens.get(agent, [])
            if own or line.told.given:
                line.told.keep({order.run for order in own})
                plans[line] = plan(own, line.told, set(line.lingering.values()), now)
        expired = [run for found in plans.values() for run in found.expire]
        self._tell(self._outgoing(plans))
        return bool(expired) and orders_give_up(expired) > 0

    def _outgoing(self, plans: dict[Line, Plan]) -> Outgoing:
        """Move what is to begin, then put into words what each line is told."""
        words = orders_tell_again([run for found in plans.values() for run in found.again])
        words |= orders_begin([run for found in plans.values() for run in found.begin])
        outgoing: Outgoing = {}
        for line, found in plans.items():
            given = [run for run in (*found.again, *found.begin) if run in words]
            stops = [protocol.line("stop", run=run, by=by) for run, by in found.stop]
            if given or stops:
                outgoing[line] = [words[run] for run in given] + stops
                line.told.given.update(given)
                line.told.stopped.update(run for run, _ in found.stop)
        return outgoing

    def _check(self, lines: dict[int, Line]) -> None:
        """Close the lines of agents that have a newer one elsewhere, or whose key is void."""
        standing = lines_standing(list(lines))
        for agent, line in lines.items():
            session, digest = standing.get(agent, ("", ""))
            if session == line.session:
                continue
            self.close(line, protocol.NEWER_LINE if digest == line.key_digest else protocol.UNKNOWN_KEY)

    def _tell(self, outgoing: Outgoing) -> None:
        """One call per event loop, however many agents are told something."""
        loops: dict[asyncio.AbstractEventLoop, Outgoing] = defaultdict(dict)
        for line, messages in outgoing.items():
            loops[line.loop][line] = messages
        for loop, part in loops.items():
            try:
                loop.call_soon_threadsafe(_deliver, part)
            except RuntimeError:  # the loop is closed, and its lines with it
                for line in part:
                    self.leave(line)

    def _shut(self, line: Line, code: int) -> None:
        try:
            line.loop.call_soon_threadsafe(line.shut, code)
        except RuntimeError:
            return


def _waited(listener: Listener) -> float:
    """Seconds until something may have changed."""
    began = time.monotonic()
    listener.wait()
    return time.monotonic() - began


def _deliver(outgoing: Outgoing) -> None:
    for line, messages in outgoing.items():
        line.deliver(messages)


hub = Hub()
