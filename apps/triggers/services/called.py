"""`POST /triggers/NAME/fire`: whose call it is, what it carries, and the firing it makes."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.access.actor import Actor, Door
from apps.access.errors import InputError, NotFound
from apps.access.levels import Level
from apps.access.permissions import level_of
from apps.access.services import api_token_open
from apps.runs.models import Cause
from apps.triggers.errors import Unauthorised
from apps.triggers.models import Firing, Trigger
from apps.triggers.payload import payload_read
from apps.triggers.services.fire import trigger_fire
from apps.triggers.services.secrets import secret_opens, server_secret_opens

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)
KEY = re.compile(r"[\x21-\x7e]{1,200}")
OVERRIDE_MOST = 300  # characters


@dataclass(frozen=True, kw_only=True)
class FireCall:
    """One HTTP request, as far as firing asks for it."""

    name: str
    secret: str  # a trigger's, the server-wide one, or an API token
    body: bytes = b""
    key: str = ""  # Idempotency-Key
    override: str = ""
    address: str = ""


def trigger_called(*, call: FireCall) -> Firing:
    """Fire the trigger of that name; a call with a key that came before gives the firing of then.

    Raises Unauthorised (for an unknown trigger just as for a wrong secret), NotFound for those who may know,
    InputError, and what trigger_fire raises.
    """
    # A name that holds a NUL is no trigger's, and no database is asked for it.
    trigger = None if "\x00" in call.name else Trigger.objects.filter(name=call.name).first()
    actor = _caller(call, trigger)
    if trigger is None:
        raise NotFound(f"There is no trigger called “{call.name[:150]}”.")
    return trigger_fire(
        trigger=trigger,
        actor=actor,
        cause=Cause.TRIGGER,
        source=Firing.Source.HTTP,
        payload=payload_read(call.body),
        idempotency_key=_key(call),
        request_digest=_digest(call) if call.key else "",
        override=_override(call),
    )


def _caller(call: FireCall, trigger: Trigger | None) -> Actor:
    if token := api_token_open(call.secret, call.address):
        return _person(call, token.user, trigger)
    by_server_secret = server_secret_opens(call.secret)
    by_own = secret_opens(trigger or Trigger(), call.secret)  # the same work for a trigger that there is not
    if not by_server_secret and not (trigger and by_own):
        logger.info("A firing from %s was refused: a wrong or missing secret.", call.address)
        raise Unauthorised
    return Actor(user=None, door=Door.API, address=call.address, by_secret=True)


def _person(call: FireCall, user: User, trigger: Trigger | None) -> Actor:
    if trigger is not None and level_of(user, trigger) < Level.VIEW:
        raise NotFound(f"There is no trigger called “{call.name[:150]}”.")
    return Actor(user=user, door=Door.API, address=call.address)


def _key(call: FireCall) -> str:
    if call.key and not KEY.fullmatch(call.key):
        raise InputError("1 to 200 letters, digits and signs of ASCII, without blanks.", "Idempotency-Key")
    return call.key


def _override(call: FireCall) -> str:
    if len(call.override) > OVERRIDE_MOST or not call.override.isprintable():
        raise InputError(f"A reason in one line of at most {OVERRIDE_MOST} characters.", "X-Deploypanel-Override")
    return call.override


def _digest(call: FireCall) -> str:
    """Of all that must be the same when a call is sent again."""
    return hashlib.sha256(call.override.encode("utf-8", "surrogatepass") + b"\0" + call.body).hexdigest()
