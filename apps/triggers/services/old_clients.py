"""What old clients may ask: with the server-wide secret of all triggers, with a trigger's own of that one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from apps.access import audit
from apps.access.actor import Actor, Door
from apps.access.errors import NotFound
from apps.runs.models import Cause
from apps.triggers.errors import Unauthorised
from apps.triggers.models import Firing, Trigger
from apps.triggers.services.fire import trigger_fire
from apps.triggers.services.secrets import old_protocol, secret_opens, server_secret_opens

if TYPE_CHECKING:
    from apps.triggers.old_protocol import Call

logger = logging.getLogger(__name__)
MADE_MOST = 10_000  # triggers that requests have made; more are made by people only


def old_count(*, call: Call, address: str) -> int:
    """The trigger's count; 0 of one that was unknown until now. Raises Unauthorised, NotFound."""
    if not server_secret_opens(call.secret):
        return _own(call, address).count
    count: int | None = Trigger.objects.filter(name=call.trigger).values_list("count", flat=True).first()
    return _made(call, address).count if count is None else count


def old_fire(*, call: Call, address: str) -> Firing:
    """Fire it, and make it if it was unknown until now. Raises Unauthorised, NotFound, and what trigger_fire raises."""
    if server_secret_opens(call.secret):
        trigger = Trigger.objects.filter(name=call.trigger).first() or _made(call, address)
    else:
        trigger = _own(call, address)
    return trigger_fire(trigger=trigger, actor=_caller(address), cause=Cause.TRIGGER, source=Firing.Source.OLD)


def _own(call: Call, address: str) -> Trigger:
    """The trigger whose own secret this is. The same work for one that there is not, so that time tells nothing."""
    trigger = Trigger.objects.filter(name=call.trigger).first()
    opens = secret_opens(trigger or Trigger(), call.secret)
    if trigger is None or not opens:
        logger.info("A call of the old protocol from %s was refused: a wrong or missing secret.", address)
        raise Unauthorised
    return trigger


def _made(call: Call, address: str) -> Trigger:
    if not old_protocol().create_unknown:
        raise NotFound("There is no such trigger, and requests make none here.")
    if Trigger.objects.filter(made_by_request=True).count() >= MADE_MOST:
        raise NotFound(f"There is no such trigger, and requests have made {MADE_MOST} already.")
    try:
        with transaction.atomic():
            trigger = Trigger.objects.create(name=call.trigger, made_by_request=True)
            audit.record(actor=_caller(address), action="trigger.add", subject=trigger, detail={"by": "old protocol"})
    except IntegrityError:  # two asked at the same moment
        return Trigger.objects.get(name=call.trigger)
    return trigger


def _caller(address: str) -> Actor:
    return Actor(user=None, door=Door.API, address=address, by_secret=True)
