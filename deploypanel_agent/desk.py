"""The runs of this agent: taken once, worked one after the other for each trigger, side by side for several."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from deploypanel_agent.errors import LineLost
from deploypanel_agent.limits import Leaving, Limits
from deploypanel_agent.say import say
from deploypanel_agent.story import Story
from deploypanel_agent.work import Surroundings, Work, limits_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploypanel_agent.clock import Clock
    from deploypanel_agent.figures import Figures
    from deploypanel_agent.held import Held, Holdings
    from deploypanel_agent.masking import Mask

DISK_PAUSE = 5.0  # seconds before a run is taken up again that could not be written down
LEAVE_TIME = 10.0  # seconds for threads to let go of their runs


class Desk:
    """Give it orders; it works, and calls `changed` whenever there is something new to tell."""

    def __init__(
        self,
        holdings: Holdings,
        around: Surroundings,
        *,
        clock: Clock,
        mask: Mask,
        log_limit: int,
        figures: Figures,
        changed: Callable[[], None],
        ended: Callable[[Held], None] = lambda _: None,
    ) -> None:
        """`ended` is called in the run's thread, when its end is on the disk."""
        self._holdings = holdings
        self._around = around
        self._clock = clock
        self._mask = mask
        self._log_limit = log_limit
        self._figures = figures
        self._changed = changed
        self._told_end = ended
        self._leaving = threading.Event()
        self._lock = threading.RLock()
        self._held: dict[int, Held] = {}
        self._limits: dict[int, Limits] = {}
        self._dropped: set[int] = set()
        self._queues: dict[str, deque[Held]] = {}
        self._threads: dict[str, threading.Thread] = {}

    def resume(self) -> None:
        """Take up what an earlier process left."""
        for held in self._holdings.load():
            self._held[held.number] = held
            if held.ended:
                self._holdings.finish(held)
            else:
                self._enqueue(held)

    def all(self) -> list[Held]:
        with self._lock:
            return list(self._held.values())

    def open(self) -> list[int]:
        """The numbers of the runs that have not ended."""
        return [held.number for held in self.all() if not held.ended]

    def finished(self) -> dict[str, int]:
        return self._holdings.finished()

    def take(self, order: dict[str, Any]) -> Held | None:
        """The run of this order; begun only if it was never here before. None: it was begun by somebody else.

        Raises LineLost while another run of that number has to be ended first.
        """
        with self._lock:
            known = self._known(order)
            if known is not None:
                return known
            was_here = self._holdings.was_here(order)
            if order.get("stored") and not was_here:
                # Its order was on a disk before the panel heard a word of it. It is not on this one.
                say(f"Run {order['run']} is not taken: the panel has heard of it, and nothing of it is kept here.")
                return None
            held = self._holdings.take(order)
            self._held[held.number] = held
            if was_here:
                self._end_unrun(held, "failed", "Not run again: it was run before, and its end was not kept.")
                return held
            late = self._too_late(order)
            if late:
                self._end_unrun(held, "failed", late)
                return held
            self._enqueue(held)
            return held

    def stop(self, number: int, by: str) -> Held:
        """Have a run ended. One that is unknown, or has not begun, ends at once."""
        with self._lock:
            held = self._held.get(number)
            if held is None:
                held = self._held[number] = self._holdings.take({"run": number})
                self._end_unrun(held, "stopped", "Stopped before it began.")
                return held
            if held.ended:
                return held
            held.stop(by)
            waiting = self._queues.get(held.trigger, deque())
            if held in waiting and not held.begun:
                waiting.remove(held)
                self._end_unrun(held, "stopped", "Stopped before it began.")
            elif number in self._limits:
                self._limits[number].wake()
            return held

    def drop(self, number: int) -> None:
        """The panel wants to hear no more of it. If it is at work it is ended first."""
        with self._lock:
            held = self._held.get(number)
            if held is None:
                return
            if not held.ended:
                self._dropped.add(number)
                self.stop(number, "the panel, which does not know this run any more")
                if not held.ended:
                    return  # its thread drops it when it is over
            self._forget(held)

    def leave(self) -> None:
        """Let go of everything: what is at work goes on, and the next process takes it up."""
        self._leaving.set()
        deadline = time.monotonic() + LEAVE_TIME
        for thread in list(self._threads.values()):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _known(self, order: dict[str, Any]) -> Held | None:
        """The run of this order that is here already; what another run of that number has left is cleared away."""
        number = int(order["run"])
        known = self._held.get(number)
        if known is None or known.is_of(order):
            return known
        self.drop(number)
        if number in self._held:
            raise LineLost(f"Run {number} has to wait: another of that number is being ended.")
        return None

    def _too_late(self, order: dict[str, Any]) -> str:
        limit = float(order.get("max_age") or 0)
        age = self._clock.age(str(order.get("fired_at") or ""), time.time())
        if not limit or age <= limit:
            return ""
        return f"Not run: it was fired {age:,.0f} seconds ago, and may be begun for {limit:,.0f}."

    def _end_unrun(self, held: Held, state: str, summary: str) -> None:
        self._story(held).ended(state, summary)
        self._close(held, worked=False)

    def _enqueue(self, held: Held) -> None:
        with self._lock:
            queue = self._queues.setdefault(held.trigger, deque())
            queue.append(held)
            if held.trigger not in self._threads:
                thread = threading.Thread(target=self._work_off, args=(held.trigger,), name=f"work {held.trigger}")
                thread.daemon = True
                self._threads[held.trigger] = thread
                thread.start()

    def _work_off(self, trigger: str) -> None:
        """One thread for each trigger, as long as there is something to do for it."""
        while not self._leaving.is_set():
            with self._lock:
                queue = self._queues[trigger]
                if not queue:
                    del self._threads[trigger]
                    return
                held = queue.popleft()
                limits = self._limits[held.number] = limits_for(held, leaving=self._leaving, now=time.time())
            try:
                self._work(held, limits)
            except Leaving:
                return
            except OSError as error:
                self._try_later(held, error)
            finally:
                with self._lock:
                    self._limits.pop(held.number, None)

    def _try_later(self, held: Held, error: OSError) -> None:
        """The disk is full, or worse. The run is taken up where it is, as after a crash."""
        say(f"Run {held.number} of {held.trigger} has to wait, nothing can be written down: {error}.")
        with self._lock:
            self._queues[held.trigger].appendleft(held)
        self._leaving.wait(DISK_PAUSE)

    def _work(self, held: Held, limits: Limits) -> None:
        say(f"Run {held.number} of {held.trigger} {held.count}: {'goes on' if held.begun else 'begins'}.")
        self._figures.began(held, self._clock)
        story = self._story(held)
        try:
            Work(held, story, limits, self._around).run()
        except (Leaving, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a run meets, the agent lives on, and the panel hears of it
            story.ended("failed", f"The agent met an error of its own: {type(error).__name__}: {error}")
        self._close(held, worked=True)

    def _close(self, held: Held, *, worked: bool) -> None:
        """Its end is in the journal: keep the count, then let it be told."""
        assert held.journal.ended is not None
        self._holdings.finish(held)
        self._figures.ended(str(held.journal.ended["state"]), worked=worked)
        say(f"Run {held.number} of {held.trigger}: {held.journal.ended['state']}. {held.journal.ended['summary']}")
        self._told_end(held)
        with self._lock:
            if held.number in self._dropped:
                self._forget(held)
        self._changed()

    def _forget(self, held: Held) -> None:
        self._dropped.discard(held.number)
        if self._held.pop(held.number, None) is not None:
            self._holdings.drop(held)

    def _story(self, held: Held) -> Story:
        return Story(held.journal, clock=self._clock, mask=self._mask, log_limit=self._log_limit, wake=self._changed)
