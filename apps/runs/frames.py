"""What a viewer of a run is told: the run's state, its steps and its log, as JSON messages.

{"type": "run", "run": {…}, "now": …}           the whole state, at the beginning and at each change
{"type": "steps", "version": 7, "steps": [{…}]}  cells of the matrix: all at the beginning, then those that changed
{"type": "log", "chunks": [{"seq", "host", "stream", "at", "first_line", "text"}]}
{"type": "caught_up", "seq": 812}               the replay is done, what comes now is live
{"type": "beat", "now": …}                      nothing new, but the line is alive
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.runs.kinds import kind_named
from apps.runs.models import Run, Step
from apps.runs.states import ENDED, STOPPABLE, RunState, StepState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from apps.runs.transcript import Chunk

FRAME_LIMIT = 256 * 1024  # characters of log text in one message (one chunk at least)

RUN_COLUMNS = (
    "id",
    "kind",
    "subject_path",
    "state",
    "summary",
    "cause",
    "requested_name",
    "requested_at",
    "not_before",
    "queued_at",
    "started_at",
    "ended_at",
    "stop_requested_by",
    "last_seq",
    "log_lines",
    "log_bytes",
    "log_cut",
    "steps_version",
)
COUNTS = frozenset({"last_seq", "log_lines", "log_bytes", "steps_version"})
STEP_COLUMNS = ("host", "stage", "position", "state", "started_at", "ended_at", "exit_status", "message")


def kind_label(name: str) -> str:
    """What people call this kind of run; its plain name when the app that knew it is gone."""
    try:
        return kind_named(name).label
    except KeyError:
        return name.replace("_", " ").capitalize()


def instant(value: datetime | None) -> str | None:
    return value.isoformat() if value else None


@dataclass(frozen=True, slots=True)
class RunView:
    """A run's state as a viewer sees it. Two that are equal need not be told twice."""

    values: dict[str, Any]

    @property
    def ended(self) -> bool:
        return self.values["state"] in ENDED

    def same_but_for_counts(self, other: RunView) -> bool:
        """Whether nothing changed but how long the log is, which the log itself tells."""
        return all(self.values[name] == other.values[name] for name in RUN_COLUMNS if name not in COUNTS)

    @property
    def last_seq(self) -> int:
        return int(self.values["last_seq"])

    @property
    def steps_version(self) -> int:
        return int(self.values["steps_version"])

    def as_json(self) -> dict[str, Any]:
        state = RunState(self.values["state"])
        shown = {name: instant(value) if name.endswith("_at") else value for name, value in self.values.items()}
        return {
            **shown,
            "not_before": instant(self.values["not_before"]),
            "kind_label": kind_label(self.values["kind"]),
            "state_label": state.label,
            "ended": state in ENDED,
            "stoppable": state in STOPPABLE,
        }


def runs_read(ids: Iterable[int]) -> dict[int, RunView]:
    """The present state of each run that still exists. One query."""
    rows = Run.objects.filter(pk__in=list(ids)).order_by().values(*RUN_COLUMNS)
    return {row["id"]: RunView(row) for row in rows}


def steps_read(run_id: int) -> list[dict[str, Any]]:
    """The cells of the run's matrix, ready for JSON. One query."""
    rows = Step.objects.filter(run_id=run_id).order_by("position", "host").values(*STEP_COLUMNS)
    return [
        {
            **row,
            "started_at": instant(row["started_at"]),
            "ended_at": instant(row["ended_at"]),
            "state_label": StepState(row["state"]).label,
        }
        for row in rows
    ]


def message(kind: str, **body: Any) -> str:
    return json.dumps({"type": kind, **body}, ensure_ascii=False, separators=(",", ":"))


def run_message(run: RunView) -> str:
    return message("run", run=run.as_json(), now=timezone.now().isoformat())


def steps_message(version: int, steps: list[dict[str, Any]]) -> str:
    return message("steps", version=version, steps=steps)


def log_batches(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """The chunks in messages of bounded size, in order."""
    batch: list[Chunk] = []
    size = 0
    for chunk in chunks:
        if batch and size + len(chunk.text) > FRAME_LIMIT:
            yield batch
            batch, size = [], 0
        batch.append(chunk)
        size += len(chunk.text)
    if batch:
        yield batch


def log_message(chunks: list[Chunk]) -> str:
    return message(
        "log",
        chunks=[
            {
                "seq": chunk.seq,
                "host": chunk.host,
                "stream": chunk.stream,
                "at": instant(chunk.at),
                "first_line": chunk.first_line,
                "text": chunk.text,
            }
            for chunk in chunks
        ],
    )
