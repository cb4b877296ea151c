"""Firing a trigger: the same for every door."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.access import audit, gate
from apps.access.errors import Conflict, InputError, Refused
from apps.access.models import AuditEntry
from apps.runs.knock import knock
from apps.triggers.errors import RateLimited
from apps.triggers.models import Firing
from apps.triggers.payload import digest_of, payload_checked
from apps.triggers.services.admit import firing_admitted, firing_told, refusal_is_told
from apps.triggers.services.begin import firing_begin, rate_checked, trigger_counted, trigger_held

if TYPE_CHECKING:
    from datetime import datetime

    from apps.access.actor import Actor
    from apps.access.decision import Decision
    from apps.runs.models import Cause, Run
    from apps.triggers.models import Trigger

LONGEST_KEY = 200  # characters
OWN_KEY = "panel:"  # how the keys begin with which the panel itself keeps from firing twice
_FROM_OUTSIDE = {Firing.Source.OLD, Firing.Source.HTTP, Firing.Source.ADMIN, Firing.Source.COMMAND}


def trigger_fire(
    *,
    trigger: Trigger,
    actor: Actor,
    cause: Cause,
    source: Firing.Source,
    payload: Any = None,
    idempotency_key: str = "",
    request_digest: str = "",
    override: str = "",
    ended_run: Run | None = None,
    depth: int = 0,
) -> Firing:
    """Count one more firing and set going what it leads to; the firing, which may also be held until the window opens.

    With `idempotency_key`, the same request (by `request_digest`, else by its payload) gives the earlier firing.
    Raises Refused, RateLimited, InputError (the payload, the key), Conflict (the key is another request's; the trigger
    was just deleted). When it returns within no transaction of the caller's, what it tells is stored for good.
    """
    text = payload_checked(payload)
    digest = _key_checked(source, idempotency_key, request_digest or digest_of(text, override))
    if idempotency_key and (earlier := _earlier(trigger, actor, idempotency_key, digest)):
        return earlier
    firing = Firing(
        trigger=trigger,
        source=source,
        cause=cause,
        user=actor.user,
        by=actor.name[:150],
        behind=actor.behind[:150],
        address=actor.address[:64],
        door=actor.door,
        knock=knock(actor),
        payload=payload,
        idempotency_key=idempotency_key or None,
        request_digest=digest,
        override=override.strip()[:300],
        ended_run=ended_run,
        depth=depth,
    )
    detail = {"source": str(source)}
    decision, opens_at = firing_admitted(trigger=trigger, actor=actor, override=override, depth=depth, detail=detail)
    try:
        with transaction.atomic():
            _store(firing, actor, decision, opens_at)
    except RateLimited as limited:
        _limit_told(trigger, actor, str(limited))
        raise
    except IntegrityError:
        # Stored meanwhile by another process, with the same key.
        if idempotency_key and (earlier := _earlier(trigger, actor, idempotency_key, digest)):
            return earlier
        raise
    return firing


def _store(firing: Firing, actor: Actor, decision: Decision, opens_at: datetime | None) -> None:
    if opens_at is None:
        trigger = trigger_counted(firing.trigger)
        rate_checked(trigger)
        firing_begin(firing, trigger)
    else:
        rate_checked(trigger_held(firing.trigger))
        firing.state, firing.opens_at = Firing.State.HELD, opens_at
        firing.text = " ".join(decision.reasons)[:500]
        firing.save()
    firing_told(firing=firing, actor=actor, decision=decision)


def _key_checked(source: Firing.Source, key: str, digest: str) -> str:
    """The digest, where there is a key to keep it for."""
    if len(key) > LONGEST_KEY or not key.isprintable():
        raise InputError(f"give at most {LONGEST_KEY} printable characters.", "Idempotency-Key")
    if key.startswith(OWN_KEY) and source in _FROM_OUTSIDE:
        raise InputError(f"keys that begin with {OWN_KEY} are the panel's own.", "Idempotency-Key")
    return digest[:64] if key else ""


def _earlier(trigger: Trigger, actor: Actor, key: str, digest: str) -> Firing | None:
    """The firing that this key has led to. Raises Conflict for another request's key, Refused for who may not fire."""
    found = Firing.objects.filter(trigger=trigger, idempotency_key=key).first()
    if found is None:
        return None
    decision = gate.decide(actor=actor, act=gate.Act.STOP, subject=trigger)
    if not decision.allowed:
        if not refusal_is_told(trigger, actor, decision.reasons):
            audit.record(actor=actor, action="fire", subject=trigger, allowed=False, reasons=decision.reasons)
        raise Refused(decision)
    if found.request_digest != digest:
        raise Conflict("This Idempotency-Key came with another request before: use a new one.")
    return found


def _limit_told(trigger: Trigger, actor: Actor, sentence: str) -> None:
    """Once a window: who is refused a thousand times a second must not fill the trail."""
    since = timezone.now() - timedelta(seconds=trigger.rate_seconds)
    told = AuditEntry.objects.filter(subject_id=trigger.pk, action="fire", allowed=False, at__gt=since)
    if not told.exists():
        audit.record(actor=actor, action="fire", subject=trigger, allowed=False, reasons=[sentence])
