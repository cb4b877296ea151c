"""Asking for work: the run's row and the ring for it, in the caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.access.errors import Conflict
from apps.runs.bell import ring_viewers
from apps.runs.kinds import kind_named
from apps.runs.models import Cause, Run
from apps.runs.services.move import run_ring_start
from apps.runs.states import ACTIVE, RunState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from apps.access.actor import Actor
    from apps.access.models import Subject


def run_request(
    *,
    kind: str,
    subject: Subject | None,
    actor: Actor,
    cause: Cause,
    params: dict[str, Any],
    subject_path: str = "",
    exclusive: bool = True,
    not_before: datetime | None = None,
    override: str = "",
    time_limit: int | None = None,
    silence_limit: int | None = None,
) -> Run:
    """A new run, queued, or waiting until `not_before` (when the gate is asked again). Limits in seconds.

    Call it inside the transaction of what belongs to it. Raises Conflict, which names the other run,
    when it is exclusive and another exclusive run of the subject is not finished.
    """
    known = kind_named(kind)  # an unknown kind is a bug: here and not in the runner
    run = _row(kind, subject, actor, cause, params, time_limit, silence_limit)
    run.subject_path = subject_path or run.subject_path
    run.exclusive, run.override_reason = exclusive, override[:300]
    if not_before is not None:
        run.state, run.not_before, run.queued_at = RunState.WAITING, not_before, None
        run.summary = f"Waits until {not_before:%Y-%m-%d %H:%M} UTC."
    with transaction.atomic():
        _save_or_conflict(run)
        if run.state == RunState.QUEUED and not known.is_remote:
            run_ring_start(run.pk)
        ring_viewers(run.pk)
    return run


def runs_request_remote(
    *,
    kind: str,
    subject: Subject,
    actor: Actor,
    cause: Cause,
    params: Sequence[dict[str, Any]],
    time_limit: int | None = None,
    silence_limit: int | None = None,
) -> list[Run]:
    """As many runs as there are `params`, none of them exclusive, for who carries them out elsewhere; all at once.

    Call it inside the transaction of what belongs to them.
    """
    if not kind_named(kind).is_remote:
        raise ValueError(f"{kind} is carried out by the panel: ask with run_request.")
    runs = [_row(kind, subject, actor, cause, one, time_limit, silence_limit) for one in params]
    for run in runs:
        run.exclusive = False
    Run.objects.bulk_create(runs)
    ring_viewers(*(run.pk for run in runs))
    return runs


def run_active_on(subject_id: int) -> Run | None:
    """The exclusive run that holds this subject now."""
    return Run.objects.filter(subject_id=subject_id, exclusive=True, state__in=ACTIVE).first()


def _row(
    kind: str,
    subject: Subject | None,
    actor: Actor,
    cause: Cause,
    params: dict[str, Any],
    time_limit: int | None,
    silence_limit: int | None,
) -> Run:
    """A queued run, not saved."""
    limit = time_limit or settings.RUN_TIME_LIMIT
    return Run(
        kind=kind,
        subject_id=subject.pk if subject is not None else None,
        subject_path=subject.path if subject is not None else "",
        params=params,
        state=RunState.QUEUED,
        cause=cause,
        requested_by=actor.user,
        requested_name=actor.name[:150],
        queued_at=timezone.now(),
        time_limit=limit,
        silence_limit=min(silence_limit or settings.RUN_SILENCE_LIMIT, limit),
    )


def _save_or_conflict(run: Run) -> None:
    try:
        with transaction.atomic():
            run.save()
    except IntegrityError:
        other = run_active_on(run.subject_id) if run.subject_id is not None else None
        if other is None:
            raise
        raise Conflict(
            f"Run #{other.pk} ({other.kind} of {other.subject_path}, asked for by {other.requested_name}) "
            f"is {other.get_state_display().lower()}: wait for its end, or stop it."
        ) from None
