"""The clock: what is due is started, every second; one clock per installation, by a lease in the database.

Chores look and ring; anything of length is a task or a run. A chore that fails is logged and tried again at
its next turn, and never keeps the others from theirs. A clock that dies is replaced in LEASE seconds by the one
of another machine, or by the next that the supervisor starts.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import close_old_connections, connections
from django.utils import timezone

from apps.runs.beats import beat, lease_give_back, lease_holder, lease_take
from apps.runs.machine import is_alive, machine_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

logger = logging.getLogger(__name__)

LEASE = 10.0  # seconds that a dead clock's lease lasts
RENEW = 2.0  # seconds between two renewals, each with a beat
TICK = 0.2  # seconds between two looks at what is due
COMPLAIN = 60.0  # seconds between two log entries about a chore that keeps failing
SLOW = 2.0  # seconds after which a chore is named in the log: it should have rung a task


@dataclass(frozen=True, kw_only=True)
class Chore:
    """Something to do every so many seconds. It gets the time now, must be quick and may be called twice."""

    name: str
    every: float
    work: Callable[[datetime], object]


@dataclass
class Clock:
    chores: Sequence[Chore]
    holder: str = field(default_factory=lambda: f"{machine_name()}:{os.getpid()}")
    stopping: threading.Event = field(default_factory=threading.Event)
    _due: dict[str, float] = field(default_factory=dict)
    _failing: dict[str, str] = field(default_factory=dict)
    _complained: dict[str, float] = field(default_factory=dict)
    _holds: bool = False
    _renew_at: float = 0.0

    def run(self) -> None:
        """Tick until `stopping` is set; then let another clock have the lease at once."""
        self._guarded("lease", self._bury)
        while not self.stopping.wait(TICK):
            close_old_connections()
            self.tick(time.monotonic())
        self._guarded("lease", lambda _: lease_give_back(name="clock", holder=self.holder))

    def tick(self, moment: float) -> None:
        """Renew the lease when it is time, and do what is due by the monotonic clock's `moment`."""
        if moment >= self._renew_at:
            self._renew_at = moment + RENEW
            self._guarded("lease", self._renew)
        if not self._holds:
            return
        for chore in self.chores:
            if moment >= self._due.get(chore.name, 0.0):
                self._due[chore.name] = moment + chore.every
                self._guarded(chore.name, chore.work)

    def _bury(self, _now: datetime) -> None:
        """A clock of this machine that was killed needs no mourning: its lease is free at once."""
        holder = lease_holder("clock")
        machine, _, pid = holder.rpartition(":")
        if machine == machine_name() and pid.isdigit() and not is_alive(int(pid), None):
            lease_give_back(name="clock", holder=holder)

    def _renew(self, now: datetime) -> None:
        self._holds = False  # unless the database says otherwise
        self._holds = lease_take(name="clock", holder=self.holder, seconds=LEASE)
        if self._holds:
            beat(role="clock", detail={"failing": self._failing})

    def _guarded(self, name: str, work: Callable[[datetime], object]) -> None:
        began = time.monotonic()
        try:
            work(timezone.now())
        except Exception as error:  # noqa: BLE001 - whatever it is, the other chores must go on
            self._failed(name, error)
        else:
            self._failing.pop(name, None)
        if (took := time.monotonic() - began) > SLOW:
            logger.warning("The chore %s took %.1f s.", name, took)

    def _failed(self, name: str, error: Exception) -> None:
        self._failing[name] = f"{type(error).__name__}: {error}"[:300]
        if time.monotonic() - self._complained.get(name, -COMPLAIN) >= COMPLAIN:
            self._complained[name] = time.monotonic()
            logger.error("The chore %s failed; it is tried again.", name, exc_info=error)
        if name == "lease":
            connections.close_all()
