"""A run's log in a terminal, as it is written, until the run ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from django.utils import timezone

from apps.access.command import Exit
from apps.access.errors import NotFound
from apps.runs.models import LogChunk, Run
from apps.runs.states import ENDED, RunState

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_EVERY = 0.1  # seconds
CHUNKS_AT_ONCE = 50
HINT_AFTER = 10.0  # seconds in the queue

EXITS = {
    RunState.SUCCEEDED: Exit.DONE,
    RunState.FAILED: Exit.FAILED,
    RunState.ERRORED: Exit.FAILED,
    RunState.TIMED_OUT: Exit.FAILED,
    RunState.STOPPED: Exit.LOST,
    RunState.LOST: Exit.LOST,
}


def follow(run_id: int, say: Callable[[str], object] = print) -> Exit:
    """Say each line of the log as it comes, then how the run ended; the exit status that goes with it.

    Raises NotFound. An interrupt (Ctrl-C) leaves the run as it is.
    """
    seq, delay = 0, _Delay()
    while True:
        run = _run(run_id)
        if sentence := delay.sentence(run):
            say(sentence)
        # Read after the state: when it has ended, this is all there will be.
        while chunks := list(LogChunk.objects.filter(run_id=run_id, seq__gt=seq).order_by("seq")[:CHUNKS_AT_ONCE]):
            for chunk in chunks:
                for line in chunk.text.split("\n")[:-1]:
                    say(f"{chunk.host}: {line}" if chunk.host else line)
            seq = chunks[-1].seq
        if run.state in ENDED:
            return EXITS[RunState(run.state)]
        time.sleep(LOOK_EVERY)


def show(run_id: int, say: Callable[[str], object] = print) -> None:
    """Say what is stored of the log now."""
    for chunk in LogChunk.objects.filter(run_id=run_id).order_by("seq").iterator(CHUNKS_AT_ONCE):
        for line in chunk.text.split("\n")[:-1]:
            say(f"{chunk.host}: {line}" if chunk.host else line)


def _run(run_id: int) -> Run:
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        raise NotFound(f"There is no run #{run_id}.")
    return run


class _Delay:
    """Why nothing comes yet, each reason told once."""

    def __init__(self) -> None:
        self._told = ""
        self._queued_since: float | None = None

    def sentence(self, run: Run) -> str:
        reason = self._reason(run)
        if not reason or reason == self._told:
            return ""
        self._told = reason
        return reason

    def _reason(self, run: Run) -> str:
        if run.state == RunState.WAITING:
            until = f" until {timezone.localtime(run.not_before):%Y-%m-%d %H:%M:%S %Z}" if run.not_before else ""
            return f"Run #{run.pk} waits{until}. {run.summary}".rstrip()
        if run.state != RunState.QUEUED:
            return ""
        now = time.monotonic()
        self._queued_since = self._queued_since or now
        if now - self._queued_since < HINT_AFTER:
            return ""
        return "Still queued: are the workers running? manage.py doctor tells."
