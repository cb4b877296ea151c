"""What an agent is to be told of its unfinished runs: pure, from what the database says and what it was told before.

At most one unfinished run of a trigger is with an agent at any time, the oldest first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from apps.runs.states import RunState

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable


@dataclass(frozen=True, slots=True)
class Open:
    """An order whose run has not ended."""

    run: int
    agent: int
    subject: int | None
    name: str
    state: str
    fired_at: datetime
    max_age: int
    stop_by: str
    enabled: bool = True  # its agent is: one that is off begins nothing

    @property
    def series(self) -> Hashable:
        return series(self.subject, self.name)

    def too_old(self, now: datetime) -> bool:
        return now - self.fired_at > timedelta(seconds=self.max_age)


@dataclass(slots=True)
class Told:
    """What went down one line, of runs that have not ended."""

    given: set[int] = field(default_factory=set)
    stopped: set[int] = field(default_factory=set)

    def keep(self, runs: Collection[int]) -> None:
        """Forget all others: they have ended."""
        self.given.intersection_update(runs)
        self.stopped.intersection_update(runs)


@dataclass(slots=True)
class Plan:
    begin: list[int] = field(default_factory=list)  # still queued
    again: list[int] = field(default_factory=list)  # running by the book, and this line has not heard of it
    stop: list[tuple[int, str]] = field(default_factory=list)  # with who asked for it
    expire: list[int] = field(default_factory=list)


def plan(orders: Iterable[Open], told: Told, busy: Collection[Hashable], now: datetime) -> Plan:
    """For one agent, its orders with the oldest first. `busy`: series of which it carries out what the book has ended
    (a run that was given up as lost)."""
    orders = list(orders)
    result = Plan()
    begun = [order for order in orders if order.state != RunState.QUEUED]
    for order in begun:
        if order.state == RunState.STOPPING:
            if order.run not in told.stopped:
                result.stop.append((order.run, order.stop_by))
        elif order.run not in told.given:
            result.again.append(order.run)
    _plan_queued(
        (order for order in orders if order.state == RunState.QUEUED),
        {*busy, *(order.series for order in begun)},
        result,
        now,
    )
    return result


def _plan_queued(orders: Iterable[Open], taken: set[Hashable], result: Plan, now: datetime) -> None:
    for order in orders:
        if order.too_old(now):
            result.expire.append(order.run)
        elif order.enabled and order.series not in taken:
            taken.add(order.series)
            result.begin.append(order.run)


def series(subject: int | None, name: str) -> Hashable:
    """What is carried out one after the other. The trigger may be gone, then its name tells."""
    return subject if subject is not None else name
