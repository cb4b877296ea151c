"""Whether the panel lives: `/health`, for monitors. It asks for no log-in and tells names and states only."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.runs.beats import beats_alive
from apps.runs.queue_state import queue_state

QUEUE_PATIENCE = 15.0  # seconds that the oldest task may wait


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing the panel cannot do without: is it well, and in what words."""

    ok: bool
    text: str


def parts() -> dict[str, Part]:
    """The state of database, queue, workers and scheduler; never raises."""
    try:
        return {
            "database": Part(ok=True, text="answers"),
            "queue": _queue(),
            "workers": _workers(),
            "scheduler": _clock(),
        }
    except DatabaseError as error:
        away = Part(ok=False, text="unknown: the database does not answer")
        reason = Part(ok=False, text=f"does not answer ({type(error).__name__})")
        return {"database": reason, "queue": away, "workers": away, "scheduler": away}


@never_cache
@require_safe
def health(_request: HttpRequest) -> JsonResponse:
    """200 when everything lives, 503 with the reasons otherwise."""
    found = parts()
    reasons = [f"{name}: {part.text}" for name, part in found.items() if not part.ok]
    body = {
        "status": "failing" if reasons else "ok",
        "reasons": reasons,
        "parts": {name: asdict(part) for name, part in found.items()},
    }
    return JsonResponse(body, status=503 if reasons else 200)


def _queue() -> Part:
    state = queue_state()
    if state.oldest > QUEUE_PATIENCE:
        return Part(ok=False, text=f"{state.waiting} tasks wait, the oldest for {state.oldest:.0f} s")
    return Part(ok=True, text=f"{state.waiting} tasks wait")


def _workers() -> Part:
    return _alive("worker", "no worker has executed a task lately")


def _clock() -> Part:
    return _alive("clock", "no clock has ticked lately")


def _alive(role: str, otherwise: str) -> Part:
    beats = beats_alive(role)
    if not beats:
        return Part(ok=False, text=otherwise)
    age = (timezone.now() - beats[0].at).total_seconds()
    return Part(ok=True, text=f"alive {age:.0f} s ago")
