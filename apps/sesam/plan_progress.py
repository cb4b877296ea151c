"""How far a sync's run has come, or why it failed and what to do: what the plan page says above everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.runs.states import ENDED, RunState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.runs.models import Step
    from apps.sesam.models import Sync

_TODO = {  # the last step that a run reached comes first
    "refused": "The node's own validation says no; nothing was changed. Correct the entities below, push, and plan "
    "again.",
    "questions": "A person must confirm what is asked below; nothing was changed.",
    "missing": "Add the missing names (or take out what uses them), push, and plan again.",
    "problems": "Correct the files below, push, and plan again.",
}
_OTHERWISE = {
    RunState.FAILED: "The run's log has the details.",
    RunState.ERRORED: "This is a fault of the panel; the run's log has what happened. Try again.",
    RunState.STOPPED: "Someone stopped it. The run's log says how far it came.",
    RunState.TIMED_OUT: "It took longer than its time limit. The run's log says where the time went.",
    RunState.LOST: "Its process was killed. What it left unfinished is put right by itself; then try again.",
}


@dataclass(frozen=True, kw_only=True)
class Progress:
    """`todo` says what a person can do about a run that did not succeed."""

    is_ended: bool
    summary: str
    todo: str = ""
    steps: Sequence[Step] = ()

    @property
    def is_bad(self) -> bool:
        return bool(self.todo)


def progress_of(row: Sync) -> Progress:
    """What the row and its run say now. A run that is pruned has left its state on the row."""
    is_ended = row.state in ENDED
    summary = row.run.summary if row.run is not None else ""
    if not is_ended:
        steps = list(row.run.steps.all()) if row.run is not None else []
        return Progress(is_ended=False, summary=summary, steps=steps)
    if row.state == RunState.SUCCEEDED:
        return Progress(is_ended=True, summary=summary)
    return Progress(is_ended=True, summary=summary or f"{row.get_action_display()} {row.state}.", todo=_todo(row))


def _todo(row: Sync) -> str:
    found = [words for name, words in _TODO.items() if _has(row, name)]
    return found[0] if found else _OTHERWISE.get(RunState(row.state), "")


def _has(row: Sync, name: str) -> bool:
    if name == "problems":
        return any(problem.get("error", True) for problem in row.problems)
    if name == "missing":
        return any(row.missing.values())
    return bool(getattr(row, name))
