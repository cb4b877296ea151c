"""The states of a run, the moves between them, and the groups that the rest of the panel asks for.

    waiting ──> queued ──> running ──> succeeded | failed | errored | timed_out | lost
       │           │          └──> stopping ──> stopped | (any of those)
       └───────────┴──> stopped                       lost ──> how it ended, when its agent is back and tells

*failed* is expected (a script exited 1); *errored* is a bug of ours, with its traceback in the log;
*lost* means that the runner was killed and nobody can say how far it came.
"""

from __future__ import annotations

from django.db import models


class RunState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    STOPPING = "stopping", "Stopping"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    ERRORED = "errored", "Errored"
    STOPPED = "stopped", "Stopped"
    TIMED_OUT = "timed_out", "Timed out"
    LOST = "lost", "Lost"


class StepState(models.TextChoices):
    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"
    STOPPED = "stopped", "Stopped"


# Holds the subject: at most one exclusive run per subject is in these.
ACTIVE = (RunState.QUEUED, RunState.RUNNING, RunState.STOPPING)
# Has a runner process.
ALIVE = (RunState.RUNNING, RunState.STOPPING)
ENDED = (
    RunState.SUCCEEDED,
    RunState.FAILED,
    RunState.ERRORED,
    RunState.STOPPED,
    RunState.TIMED_OUT,
    RunState.LOST,
)
UNSUCCESSFUL = tuple(state for state in ENDED if state is not RunState.SUCCEEDED)
# A person can still stop it.
STOPPABLE = (RunState.WAITING, RunState.QUEUED, RunState.RUNNING)

MOVES: dict[RunState, tuple[RunState, ...]] = {
    RunState.WAITING: (RunState.QUEUED, RunState.STOPPED, RunState.FAILED),
    RunState.QUEUED: (RunState.RUNNING, RunState.STOPPED, RunState.FAILED),
    RunState.RUNNING: (RunState.STOPPING, *ENDED),
    RunState.STOPPING: ENDED,
    **dict.fromkeys(ENDED, ()),
    # Only who held it can say so, later: an agent that was cut off for longer than the panel had patience.
    RunState.LOST: (RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED, RunState.TIMED_OUT),
}


def may_move(before: str, after: str) -> bool:
    return RunState(after) in MOVES[RunState(before)]
