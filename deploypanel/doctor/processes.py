"""What must run: clock, workers, and a queue that moves."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from apps.runs.beats import beats_alive
from apps.runs.queue_state import queue_state, tasks_failed
from deploypanel.doctor.finding import Finding
from deploypanel.health import QUEUE_PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator


def processes() -> Iterator[Finding]:
    clock, workers = beats_alive("clock"), beats_alive("worker")
    if not clock and not workers:
        yield Finding(about="the panel", text="does not run", remedy="make run, or manage.py panel")
        return
    if not clock:
        text = "does not tick: nothing that waits is started, and lost runs are not noticed"
        yield Finding(about="the clock", text=text, remedy="manage.py panel --only clock")
    if not workers:
        text = "have executed no task lately: nothing starts"
        yield Finding(about="the workers", text=text, remedy="manage.py panel --only workers, on any machine")
    for name, error in (clock[0].detail.get("failing", {}) if clock else {}).items():
        yield Finding(about=f"the clock's chore {name}", text=f"fails: {error}", remedy="see the panel's log")


def queue() -> Iterator[Finding]:
    state = queue_state()
    if state.oldest > QUEUE_PATIENCE:
        text = f"is late: {state.waiting} tasks wait, the oldest for {state.oldest:.0f} s"
        yield Finding(about="the queue", text=text, remedy="more workers: DEPLOYPANEL_WORKERS")
    for line in tasks_failed(timezone.now() - timedelta(days=1)):
        yield Finding(about="a task of the last day", text=f"failed: {line}", remedy="see the panel's log")
