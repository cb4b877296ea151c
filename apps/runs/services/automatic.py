"""What subjects that follow a branch by themselves have in common: one run for many wishes, and the pause.

Such a subject has `wanted_commit` and `wanted_at`, `auto_paused_at` and `auto_paused_reason`. A wish that comes while a
run works is noted as the wanted commit; the end of the run finds it there, and starts one more, with the newest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from apps.access import audit
from apps.access.errors import Conflict, PanelError, Refused
from apps.runs.services.request import run_active_on
from apps.runs.states import RunState

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model, QuerySet

    from apps.access.actor import Actor
    from apps.access.models import Subject
    from apps.runs.models import Run


@dataclass(frozen=True, kw_only=True)
class Coalesced:
    """What one wish led to. `run` is None when nothing started; `text` is for the one who is told."""

    run: Run | None
    text: str


def run_coalesced(
    *, subject: Subject, commit: str, asker: Actor, waiting: QuerySet[Any], request: Callable[[], Run]
) -> Coalesced:
    """A run that brings `commit`, or the memory that it is wanted, which is noted first: whoever ends meanwhile finds
    it.

    `waiting` are the rows beside the subject's automatic runs that may wait for their window: the newest of those that
    do takes the commit. `request` asks for the run; `asker` is who the audit says wanted it while another worked.
    """
    rows: QuerySet[Any] = type(subject)._default_manager.filter(pk=subject.pk)
    rows.update(wanted_commit=commit, wanted_at=timezone.now())
    active = run_active_on(subject.pk)
    if active is not None:
        return _remembered(subject, asker, active, commit)
    replaced = _waiting_replaced(waiting, commit)
    if replaced is not None:
        return Coalesced(run=replaced, text=f"run #{replaced.pk} waits, now with {commit[:8]}")
    try:
        run = request()
    except Conflict:
        # Another run took the place between the look and the insert: its end will look at the memory.
        active = run_active_on(subject.pk)
        ending = Coalesced(run=None, text="another run is ending")
        return _remembered(subject, asker, active, commit) if active else ending
    except Refused as refused:
        rows.filter(wanted_commit=commit).update(wanted_commit="")
        return Coalesced(run=None, text="refused: " + " ".join(refused.decision.reasons))
    except PanelError as error:
        return Coalesced(run=None, text=str(error))
    waits = run.state == RunState.WAITING
    text = run.summary[:1].lower() + run.summary[1:] if waits else "started"
    return Coalesced(run=run, text=f"run #{run.pk} {text}")


def _waiting_replaced(waiting: QuerySet[Any], commit: str) -> Run | None:
    """An automatic run that still waits for the window takes the newer commit."""
    rows = waiting.filter(run__state=RunState.WAITING)
    with transaction.atomic():
        row = rows.select_related("run").order_by("-id").first()
        if row is None:
            return None
        rows.filter(pk=row.pk).update(commit=commit)
    run: Run | None = row.run
    return run


def _remembered(subject: Subject, asker: Actor, active: Run, commit: str) -> Coalesced:
    detail = {"commit": commit, "run": active.pk}
    audit.record(actor=asker, action="remember push", subject=subject, detail=detail)
    return Coalesced(run=None, text=f"follows run #{active.pk}, which is not finished")


def paused_now(reason: str) -> dict[str, Any]:
    """For an update of the subject: nothing happens by itself from now on."""
    return {"auto_paused_at": timezone.now(), "auto_paused_reason": reason[:300]}


def subject_held(model: type[Model], number: int | None) -> None:
    """Wait for who changes the subject's row now, and keep others from it until the transaction ends."""
    list(model._default_manager.select_for_update(no_key=True, of=("self",)).filter(pk=number or 0))
