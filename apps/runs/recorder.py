"""Stores what a run tells of itself: log lines, steps and results, in one thread and in order.

One thread, so that a run with a hundred hosts needs one database connection for all of it; each
transaction first makes sure that the run is still this runner's.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from apps.runs.bell import ring_viewers
from apps.runs.errors import RunTaken
from apps.runs.models import LogChunk, Run, Step, Stream
from apps.runs.states import ALIVE

if TYPE_CHECKING:
    from collections.abc import Callable

    from apps.runs.log import LogWriter

logger = logging.getLogger(__name__)
GATHER = 0.05  # seconds that lines gather before they are stored
STEP_FIELDS = ("state", "started_at", "ended_at", "exit_status", "message")


class Recorder:
    """Begin with `start()`, end with `close()`. `on_taken` is called when the run turns out to be another's."""

    def __init__(self, run: Run, log: LogWriter, on_taken: Callable[[], None]) -> None:
        self.log = log
        self._run_id, self._token = run.pk, run.token
        self._seq, self._lines, self._bytes, self._cut = run.last_seq, run.log_lines, run.log_bytes, run.log_cut
        self._on_taken = on_taken
        self._lock = threading.Lock()
        self._steps: dict[int, Step] = {}  # changed, by identity, in order
        self._result: dict[str, Any] | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def step_changed(self, *steps: Step) -> None:
        """Store these as they are now, as soon as possible."""
        with self._lock:
            self._steps.update((id(step), step) for step in steps)
        self.log.wake()

    def result_changed(self, result: dict[str, Any]) -> None:
        with self._lock:
            self._result = dict(result)
        self.log.wake()

    def close(self, timeout: float = 60) -> bool:
        """Store all that is left, within `timeout` seconds; whether that was possible."""
        self.log.close()
        self._closing.set()
        self.log.wake()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            while not self._closing.is_set():
                self.log.wait(1)
                self.log.wait_for_chunk(GATHER)
                self._store()
            self._store()
        except RunTaken:
            self._on_taken()
        finally:
            connection.close()

    def _store(self) -> None:
        chunks = self._next_chunks()
        with self._lock:
            steps, self._steps = list(self._steps.values()), {}
            result, self._result = self._result, None
        if not chunks and not steps and result is None:
            return
        new = [step for step in steps if step.pk is None]
        while True:
            try:
                self._write(chunks, steps, result)
            except (OperationalError, InterfaceError) as error:
                # It may be away for minutes; writers wait when too much has gathered (PENDING_LIMIT).
                logger.warning("Run %s: the log cannot be stored now (%s); trying again.", self._run_id, error)
                connection.close()
                for row in (*new, *chunks):  # they were not stored, whatever they believe
                    row.pk = None
                time.sleep(0.5)
            except RunTaken:
                raise
            except Exception:
                logger.exception("Run %s: a part of the log cannot be stored.", self._run_id)
                break
            else:
                break

    def _next_chunks(self) -> list[LogChunk]:
        now = timezone.now()
        chunks = []
        seq, line = self._seq, self._lines
        for host, stream, text in self.log.take():
            seq += 1
            chunks.append(
                LogChunk(
                    run_id=self._run_id, seq=seq, host=host[:80], stream=stream, at=now, first_line=line + 1, text=text
                )
            )
            line += text.count("\n")
        return chunks

    def _write(self, chunks: list[LogChunk], steps: list[Step], result: dict[str, Any] | None) -> None:
        """One transaction. Conditional on what is stored already: a commit whose answer was lost is not done twice."""
        seq = self._seq + len(chunks)
        lines = self._lines + sum(chunk.text.count("\n") for chunk in chunks)
        size = self._bytes + sum(len(chunk.text.encode()) for chunk in chunks)
        with transaction.atomic():
            if not self._claim_write(seq, lines, size, steps, result):
                return
            LogChunk.objects.bulk_create(chunks, batch_size=200)
            _save_steps(steps)
            ring_viewers(self._run_id)
        self._seq, self._lines, self._bytes = seq, lines, size

    def _claim_write(self, seq: int, lines: int, size: int, steps: list[Step], result: dict[str, Any] | None) -> bool:
        changes: dict[str, Any] = {
            "last_seq": seq,
            "log_lines": lines,
            "log_bytes": size,
            "log_cut": self.log.full,
        }
        if steps:
            changes["steps_version"] = F("steps_version") + 1
        if result is not None:
            changes["result"] = result
        mine = Run.objects.filter(pk=self._run_id, token=self._token, state__in=ALIVE)
        if mine.filter(last_seq=self._seq).update(**changes):
            return True
        if seq > self._seq and mine.filter(last_seq=seq).exists():
            self._seq, self._lines, self._bytes = seq, lines, size
            return False
        raise RunTaken("The run is no longer this runner's.")


def _save_steps(steps: list[Step]) -> None:
    new = [step for step in steps if step.pk is None]
    known = [step for step in steps if step.pk is not None]
    if new:
        Step.objects.bulk_create(new, batch_size=200)
    if known:
        Step.objects.bulk_update(known, STEP_FIELDS, batch_size=100)


def note_append(run: Run, text: str) -> None:
    """Add a note to a run that has no runner: before its start, or after its end. In the caller's transaction."""
    run.refresh_from_db(fields=["last_seq", "log_lines", "log_bytes"])
    text = text.rstrip("\n") + "\n"
    LogChunk.objects.create(
        run=run, seq=run.last_seq + 1, stream=Stream.NOTE, at=timezone.now(), first_line=run.log_lines + 1, text=text
    )
    run.last_seq += 1
    run.log_lines += text.count("\n")
    run.log_bytes += len(text.encode())
    run.save(update_fields=["last_seq", "log_lines", "log_bytes"])
    ring_viewers(run.pk)
