"""Notices a cluster of workers that takes no tasks any more though it lives.

django-q2 freezes for ever when an idle worker is killed (the queue's lock dies with it), and acknowledges nothing
any more when its monitor is. Both are cured by killing the cluster and starting it anew, which harms nobody:
tasks are short and claim what they work on, and runs have processes of their own.

On each machine it also ends what lost runs have left there: the clock, which declares them lost, may be elsewhere.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import Error, connections
from django.utils import timezone

from apps.runs.busy import workers_busy
from apps.runs.queue_state import queue_state, tasks_unacknowledged
from apps.runs.services import runs_leftovers_kill

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

logger = logging.getLogger(__name__)

INTERVAL = 2.0  # seconds between two looks
PATIENCE = 10.0  # seconds that a task may wait while a worker is idle
WARM_UP = 12.0  # seconds that a new cluster has before it is judged


def verdict(started: datetime, now: datetime) -> str:
    """What is wrong with the cluster that started then, empty when nothing is."""
    if (now - started).total_seconds() < WARM_UP:
        return ""
    if workers_busy() >= settings.WORKERS:
        return ""
    state = queue_state(now)
    if state.oldest > PATIENCE:
        return f"a task has waited for {state.oldest:.0f} s though a worker is idle"
    if lost := tasks_unacknowledged(started, now):
        return f"{lost} finished tasks were not taken off the queue"
    return ""


class Watchdog(threading.Thread):
    """Looks at the queue beside the supervisor, which must never wait for a database."""

    def __init__(self, cluster_since: Callable[[], datetime | None]) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._cluster_since = cluster_since  # when the cluster was started; None while there is none
        self._reason = ""
        self._suspected = False  # one look may fall between a worker's end of a task and its next
        self._database_was_away = False

    def run(self) -> None:
        while True:
            time.sleep(INTERVAL)
            try:
                self.look()
            except Exception:
                # Nobody else would notice a frozen cluster.
                logger.exception("The watchdog failed; it goes on.")

    def look(self) -> None:
        """Judge the cluster and sweep up once. A database that is away ends neither this thread nor the supervisor."""
        started, reason = self._cluster_since(), ""
        try:
            if started and not self._reason:
                reason = verdict(started, timezone.now())
            runs_leftovers_kill(timezone.now())
            self._database_was_away = False
        except Error as error:
            if not self._database_was_away:
                logger.warning("The watchdog cannot read the database: %s", error)
            self._database_was_away = True
            connections.close_all()
        if reason and self._suspected:
            self._reason = reason
        self._suspected = bool(reason)

    def take_reason(self) -> str:
        """Why the cluster must be started anew, once; empty when it need not."""
        reason, self._reason = self._reason, ""
        return reason
