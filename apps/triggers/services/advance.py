"""What the panel itself does for firings: one run at a time for each action of a trigger, in their order.

An effect is claimed by a conditional UPDATE in the transaction that makes its run. So whatever is killed, an effect
has led to one run, or still waits for its turn.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from apps.access.errors import Conflict, PanelError, Refused
from apps.runs.queue import ring
from apps.runs.queue_state import queue_length
from apps.runs.services import run_active_on
from apps.runs.states import ENDED
from apps.triggers.models import Action, Effect
from apps.triggers.services.begin import ADVANCE_TIMEOUT
from apps.triggers.services.start import effect_start

if TYPE_CHECKING:
    from datetime import datetime

    from apps.runs.models import Run

logger = logging.getLogger(__name__)
State = Effect.State
AT_ONCE = 100  # effects that end at once, such as refused ones, in one go
LOOK_AGAIN = timedelta(seconds=5)
ACTIONS_AT_ONCE = 50
QUEUE_FULL = 50  # waiting tasks: nobody takes them, more rings do not help


def firing_advance(*, firing_id: int) -> None:
    """Start what this firing has led to, as far as it is its turn. In a worker; may be called twice."""
    pending = Effect.objects.filter(firing=firing_id, state=State.PENDING, action__isnull=False).order_by()
    for action_id in pending.values_list("action_id", flat=True):
        assert action_id is not None
        action_advance(action_id=action_id)


def action_advance(*, action_id: int) -> None:
    """Start the oldest effect of this action that waits, unless what it started before is not finished."""
    for _ in range(AT_ONCE):
        if not _advance_once(action_id):
            return


def effects_start_due(now: datetime) -> int:
    """Have workers look again at what waits; at how many actions. Called by the clock, for what nobody else wakes."""
    Effect.objects.filter(state=State.PENDING, action=None).update(
        state=State.FAILED, text="What it was to do has been taken from the trigger."
    )
    if queue_length() > QUEUE_FULL:
        return 0
    stale = Q(tried_at=None, firing__fired_at__lt=now - LOOK_AGAIN) | Q(tried_at__lt=now - LOOK_AGAIN)
    due = Effect.objects.filter(stale, state=State.PENDING).order_by("action_id").values_list("action_id", flat=True)
    actions = [number for number in due.distinct()[:ACTIONS_AT_ONCE] if number is not None]
    if actions:
        Effect.objects.filter(action__in=actions, state=State.PENDING).update(tried_at=now)
        ring("apps.triggers.tasks.actions_advance", *actions, timeout=ADVANCE_TIMEOUT)
    return len(actions)


def run_ended_advance(*, run: Run) -> None:
    """After the end of any run: whose turn is it now? Of its own action first, then of who waited for its subject."""
    actions = set(Effect.objects.filter(run=run, action__isnull=False).values_list("action_id", flat=True))
    if run.subject_id is not None:
        waiting = Q(action__environment=run.subject_id) | Q(action__node=run.subject_id)
        found = Effect.objects.filter(waiting, state=State.PENDING)
        actions |= set(found.order_by().values_list("action_id", flat=True).distinct())
    for action_id in sorted(number for number in actions if number is not None):
        action_advance(action_id=action_id)


def _advance_once(action_id: int) -> bool:
    """Whether one was dealt with, and the next may be looked at."""
    effect: Effect | None = None
    try:
        with transaction.atomic():
            # One worker at a time deals with an action; who fires only points at it, and need not wait.
            action = Action.objects.select_for_update(of=("self",), no_key=True).filter(pk=action_id).first()
            effect = _oldest(action_id)
            if action is None or effect is None or _at_work(action):
                return False
            return _start(effect, action)
    except DatabaseError:
        raise  # it may have been away: tried again
    except Exception as error:
        if effect is None:
            raise
        logger.exception("Effect %s could not be started.", effect.pk)
        _told(effect, State.FAILED, f"The panel failed: {type(error).__name__}. Its log says more.")
        return True


def _oldest(action_id: int) -> Effect | None:
    pending = Effect.objects.filter(action=action_id, state=State.PENDING)
    return pending.select_related("firing__trigger__act_as", "firing__user").order_by("pk").first()


def _at_work(action: Action) -> bool:
    started = Effect.objects.filter(action=action, state=State.STARTED, run__isnull=False)
    return started.exclude(run__state__in=ENDED).exists()


def _start(effect: Effect, action: Action) -> bool:
    target = action.environment_id or action.node_id
    if target is not None and (other := run_active_on(target)):
        _told(effect, State.PENDING, f"Waits for the end of run #{other.pk}.")
        return False
    if not Effect.objects.filter(pk=effect.pk, state=State.PENDING).update(state=State.STARTED):
        return True  # merged into a later firing meanwhile
    try:
        run = effect_start(effect, action)
    except Conflict as conflict:
        _told(effect, State.PENDING, str(conflict))
        return False
    except Refused as refused:  # its row in the audit stays
        _told(effect, State.REFUSED, " ".join(refused.decision.reasons))
    except PanelError as error:
        _told(effect, State.FAILED, str(error))
    else:
        Effect.objects.filter(pk=effect.pk).update(run=run, tried_at=timezone.now(), text=run.summary)
        return False  # at work now
    return True


def _told(effect: Effect, state: Effect.State, text: str) -> None:
    """What became of it here; one that was merged into a later firing meanwhile stays so."""
    mine = Effect.objects.filter(pk=effect.pk, state__in=[State.PENDING, State.STARTED], run=None)
    mine.update(state=state, text=text[:500], tried_at=timezone.now())
