"""From an agent's events to the rows of its run: chunks of the log, steps, and how it ended. No I/O.

The log is kept as a runner's recorder keeps it: numbered without gaps, cut at the same limit, in whole lines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.utils import timezone

from apps.runs.lines import LineBuffer, split_long
from apps.runs.log import CHUNK_SIZE, NOTES_BEYOND
from apps.runs.masks import Masks
from apps.runs.models import LogChunk, Run, Step, Stream
from apps.runs.states import RunState, StepState

if TYPE_CHECKING:
    from datetime import datetime

    from apps.agents.models import Order
    from apps.agents.protocol import Event, Events

STEPS_MOST = 500  # of one run; an agent's scripts have far fewer


@dataclass
class RunBook:
    """One run's rows as they are stored, and what new events make of them. `limit`: bytes of log to keep."""

    run: Run
    order: Order
    limit: int
    steps: dict[str, Step] = field(default_factory=dict)  # by stage
    chunks: list[LogChunk] = field(default_factory=list)  # new ones
    changed: dict[str, Step] = field(default_factory=dict)  # steps, by stage
    end: Event | None = None

    @property
    def host(self) -> str:
        return self.order.agent.name

    def take(self, report: Events) -> None:
        """What is new in a report; nothing when one before it is missing."""
        known = self.order.events
        if report.first > known + 1:
            return
        for event in report.events[known + 1 - report.first :]:
            self.order.events += 1
            if self.end is None:
                self._take(event)

    def note(self, text: str) -> None:
        self._log(Stream.NOTE, text + "\n", timezone.now())

    def moment(self, at: datetime) -> datetime:
        """An agent's clock may be wrong: nothing happened before the run began, or later than now."""
        return min(max(at, self.run.started_at or at), timezone.now())

    def _take(self, event: Event) -> None:
        if event.kind == "log":
            self._log(event.stream, event.text, self.moment(event.at))
        elif event.kind == "step":
            self._step(event)
        elif event.kind == "started":
            order = self.order
            words = f"agent script of {order.name}, firing {order.number}, asked for by {self.run.requested_name}."
            self.note(f"Run #{self.run.pk}: {words} Agent {self.host}.")
        elif event.kind == "ended":
            self._end(event)

    def _end(self, event: Event) -> None:
        self.end = event
        left = StepState.STOPPED if event.end == RunState.STOPPED else StepState.FAILED
        for stage, step in self.steps.items():
            if step.state == StepState.RUNNING:
                step.state, step.ended_at = left, self.moment(event.at)
                self.changed[stage] = step
        if self.run.state == RunState.LOST:
            self.note("Told late: the agent was cut off for so long that the run had been given up as lost.")
        began = self.run.started_at or event.at
        seconds = (self.moment(event.at) - began).total_seconds()
        self.note(f"Run #{self.run.pk}: {event.end.label.lower()} after {seconds:.1f} s. {event.text}".rstrip())

    # The matrix

    def _step(self, event: Event) -> None:
        step = self.steps.get(event.stage)
        if step is None and len(self.steps) >= STEPS_MOST:
            return
        if step is None:
            step = self.steps[event.stage] = Step(run_id=self.run.pk, host=self.host[:80], stage=event.stage)
        at = self.moment(event.at)
        step.position, step.state = event.position, event.step
        step.message, step.exit_status = event.text, event.exit_status
        if event.step == StepState.RUNNING:
            step.started_at, step.ended_at = step.started_at or at, None
        elif event.step != StepState.PENDING:
            step.ended_at = at
        self.changed[event.stage] = step

    # The log

    def _log(self, stream: Stream, text: str, at: datetime) -> None:
        text = split_long(LineBuffer(Masks()).feed(text if text.endswith("\n") else text + "\n"))
        run, size = self.run, len(text.encode())
        if stream == Stream.NOTE:
            if run.log_bytes <= self.limit + NOTES_BEYOND:
                self._append(stream, text, at)
        elif run.log_cut or not text:
            return
        elif run.log_bytes + size > self.limit:
            self._fill(stream, text, at)
        else:
            self._append(stream, text, at)

    def _fill(self, stream: Stream, text: str, at: datetime) -> None:
        """The last lines that fit, and why there are no more."""
        self.run.log_cut = True
        room = text.encode()[: max(0, self.limit - self.run.log_bytes)].decode("utf-8", "ignore")
        if end := room.rfind("\n") + 1:
            self._append(stream, room[:end], at)
        size = f"{self.limit / 1048576:g} MiB" if self.limit >= 1048576 else f"{self.limit} bytes"
        self.note(f"The log has reached its limit of {size}: more output is not kept. The work goes on.")

    def _append(self, stream: Stream, text: str, at: datetime) -> None:
        run, lines = self.run, text.count("\n")
        last = self.chunks[-1] if self.chunks else None
        if last is not None and last.stream == stream and len(last.text) + len(text) < CHUNK_SIZE:
            last.text += text
        else:
            run.last_seq += 1
            self.chunks.append(
                LogChunk(
                    run_id=run.pk,
                    seq=run.last_seq,
                    host="" if stream == Stream.NOTE else self.host[:80],
                    stream=stream,
                    at=at,
                    first_line=run.log_lines + 1,
                    text=text,
                )
            )
        run.log_lines += lines
        run.log_bytes += len(text.encode())
