"""How a run looks to people: the tone of each state, durations, and the data that its page begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from apps.runs import frames
from apps.runs.kinds import kind_named
from apps.runs.states import RunState
from apps.runs.transcript import tail_after

if TYPE_CHECKING:
    from datetime import datetime

    from apps.access.models import Subject
    from apps.runs.models import Run

# The classes of the panel's stylesheet that give a state its colour; the word is always there too.
TONES: dict[RunState, str] = {
    RunState.WAITING: "dp-idle",
    RunState.QUEUED: "dp-info dp-busy",
    RunState.RUNNING: "dp-info dp-busy",
    RunState.STOPPING: "dp-warn dp-busy",
    RunState.SUCCEEDED: "dp-good",
    RunState.FAILED: "dp-bad",
    RunState.ERRORED: "dp-bad",
    RunState.STOPPED: "dp-warn",
    RunState.TIMED_OUT: "dp-bad",
    RunState.LOST: "dp-bad",
}

# Where people act on a kind of subject. The pages belong to apps above this one, hence names and not imports.
_SUBJECT_PAGES = {
    "environment": "admin:environments_environment_control",
    "node": "admin:sesam_node_control",
    "repository": "admin:repos_repository_page",
    "trigger": "admin:triggers_trigger_control",
}

TAIL_LINES = 2000  # of a long log, what the page has before anyone scrolls up


def tone(state: str) -> str:
    return TONES[RunState(state)]


def duration_text(began: datetime | None, ended: datetime | None) -> str:
    """`0.4 s`, `12 s`, `3 min 07 s`, `2 h 05 min`; empty before the beginning. Tenths only of what has ended."""
    if began is None:
        return ""
    exact = max(0.0, ((ended or timezone.now()) - began).total_seconds())
    if ended and exact < 9.95:
        return f"{exact:.1f} s"
    minutes, seconds = divmod(int(exact), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def subject_page(subject: Subject | None) -> str:
    """The address of the subject's page in the admin, empty when there is none."""
    if subject is None or subject.kind not in _SUBJECT_PAGES:
        return ""
    try:
        return reverse(_SUBJECT_PAGES[subject.kind], args=[subject.pk])
    except NoReverseMatch:
        return ""


def findings(run: Run) -> dict[str, str]:
    """The link to what a run found; empty where its kind has no page for it."""
    try:
        label, address = kind_named(run.kind).findings(run)
    except KeyError:
        return {}
    return {"label": label, "address": address} if address else {}


def stages_planned(kind: str) -> list[str]:
    """The columns of the matrix before the run has planned its steps."""
    try:
        return list(kind_named(kind).stages)
    except KeyError:
        return []


def page_data(run: Run, *, may_stop: bool) -> dict[str, Any]:
    """All that the page's script needs to begin, before the first message of the WebSocket."""
    view = frames.runs_read([run.pk])[run.pk]
    return {
        "run": view.as_json(),
        "steps": frames.steps_read(run.pk),
        "stages": stages_planned(run.kind),
        "tones": {str(state): classes for state, classes in TONES.items()},
        "now": timezone.now().isoformat(),
        "mayStop": may_stop,
        "after": tail_after(run.pk, int(view.values["log_lines"]), TAIL_LINES),
        "socket": f"/ws/runs/{run.pk}/",
        "lines": reverse("runs:lines", args=[run.pk]),
        "matches": reverse("runs:matches", args=[run.pk]),
        "text": reverse("runs:log", args=[run.pk]),
    }
