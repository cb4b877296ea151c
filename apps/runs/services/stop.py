"""Asking a run to stop, in whatever phase it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from apps.access import audit, gate
from apps.access.decision import Decision, RuleResult
from apps.access.errors import Conflict, Refused
from apps.runs.recorder import note_append
from apps.runs.services.move import run_move
from apps.runs.states import ENDED, RunState

if TYPE_CHECKING:
    from apps.access.actor import Actor
    from apps.runs.models import Run


def run_stop(*, run: Run, actor: Actor) -> Run:
    """Stop a run for `actor`: at once before it began, else by its runner within a second or so.

    Stopping one that is stopping already changes nothing. Raises Refused, and Conflict when it has ended.
    """
    _require(run, actor)
    # It may move meanwhile: waiting → queued → running, each at most once.
    for _ in range(4):
        run.refresh_from_db()
        if run.state in ENDED:
            raise Conflict(f"Run #{run.pk} has ended already: {run.get_state_display().lower()}.")
        if run.state == RunState.STOPPING:
            return run
        if stopped := _stop_from(run, actor.name):
            return stopped
    raise Conflict(f"Run #{run.pk} could not be stopped: its state changes too quickly. Try again.")


def _stop_from(run: Run, name: str) -> Run | None:
    asked: dict[str, Any] = {"stop_requested_at": timezone.now(), "stop_requested_by": name[:150]}
    before = [RunState(run.state)]
    if run.state == RunState.RUNNING:
        return run_move(run_id=run.pk, to=RunState.STOPPING, before=before, **asked)
    with transaction.atomic():
        sentence = f"Stopped by {name} before it began."
        stopped = run_move(run_id=run.pk, to=RunState.STOPPED, before=before, summary=sentence, **asked)
        if stopped:
            note_append(stopped, sentence)
    return stopped


def _require(run: Run, actor: Actor) -> None:
    detail = {"run": run.pk, "kind": run.kind}
    if run.subject is not None:
        gate.require(actor=actor, act=gate.Act.STOP, subject=run.subject, action="stop", detail=detail)
        return
    user = actor.user
    own = user is not None and user.is_active and (user.is_superuser or user.pk == run.requested_by_id)
    allowed = actor.is_trusted or own
    reason = "Its subject is gone: only an administrator, or who asked for the run, may stop it."
    audit.record(actor=actor, action="stop", allowed=allowed, reasons=[] if allowed else [reason], detail=detail)
    if not allowed:
        rule = RuleResult(name="permission", allowed=False, reason=reason)
        raise Refused(Decision(at=timezone.now(), rules=(rule,)))
