"""Calls of a webhook: checked, kept, handled once, and handled again when a person asks."""

from __future__ import annotations

import json
import logging
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.access import gate
from apps.access.secrets import decrypt, encrypt
from apps.triggers import signatures, webhooks
from apps.triggers.burst import once
from apps.triggers.errors import Unauthorised
from apps.triggers.models import Delivery
from apps.triggers.selectors import repositories_told
from apps.triggers.services.push import pushes_handle
from apps.triggers.webhooks import PushEvent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from apps.access.actor import Actor
    from apps.repos.models import Repository

logger = logging.getLogger(__name__)
BODY_KEPT = 64 * 1024  # characters


@dataclass(kw_only=True)
class Answer:
    status: int
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One HTTP request to `/hooks/<forge>`. `name` is the panel's own name of the repository, if the URL has it."""

    forge: str
    headers: Mapping[str, str]
    body: bytes
    content_type: str
    name: str = ""
    address: str = ""


def hook_receive(*, call: Call) -> Answer:
    """Handle one call. Raises Unreadable, Unauthorised (for an unknown repository just as for a wrong secret)."""
    payload = webhooks.payload_of(call.body, call.content_type)
    names = webhooks.names_of(payload)
    told = once(("told", names, call.name), lambda: repositories_told(names, call.name))
    genuine = _genuine(call, told)
    event = signatures.event_of(call.forge, call.headers)
    if event in webhooks.PINGS:
        return Answer(status=200, data={"answer": "pong"})
    pushes = webhooks.pushes_of(call.forge, event, payload)
    if not pushes:
        return Answer(status=204)
    return _merged([_deliver(call, repository, event, pushes, payload) for repository in genuine])


def _genuine(call: Call, repositories: list[Repository]) -> list[Repository]:
    """Those of the repositories whose secret the call proves to know; raises Unauthorised when there is none.

    With no repository at all a decoy is checked instead, so that neither the answer nor the time tells.
    """
    found = [
        repository
        for repository in repositories
        if signatures.is_genuine(call.forge, call.headers, call.body, _secrets(repository))
    ]
    if not repositories:
        signatures.is_genuine(call.forge, call.headers, call.body, [decrypt(token) for token in _decoy()])
    if not found:
        why = f"a wrong or missing proof for {repositories[0].name}" if repositories else "an unknown repository"
        logger.info("Hook %s from %s refused: %s.", call.forge, call.address, why)
        raise Unauthorised
    return found


def _secrets(repository: Repository) -> tuple[str, str]:
    return once(("secrets", repository.pk), lambda: (repository.webhook_secret, repository.webhook_secret_old))


@lru_cache(maxsize=1)
def _decoy() -> tuple[str, str]:
    return encrypt(secrets.token_hex(32)), encrypt(secrets.token_hex(32))


def _deliver(
    call: Call, repository: Repository, event: str, pushes: list[PushEvent], payload: dict[str, Any]
) -> Delivery:
    """The delivery's row; one seen before as it is, with nothing done.

    The row and all that it led to appear together or not at all, so that a delivery which the panel
    could not finish is new when the forge sends it again.
    """
    number = signatures.delivery_of(call.forge, call.headers, call.body)
    masked = json.dumps(webhooks.masked(payload, _secrets(repository)))  # indented when it is looked at
    row = _row(repository, call.forge, event, number, pushes)
    row.body = masked[:BODY_KEPT]
    try:
        with transaction.atomic():
            _handle(row, call.address)
    except IntegrityError:
        row = Delivery.objects.get(repository=repository, forge=call.forge, delivery_id=number)
        row.repeated = True  # type: ignore[attr-defined]
    return row


def _row(repository: Repository, forge: str, event: str, number: str, pushes: list[PushEvent]) -> Delivery:
    first = pushes[0]
    return Delivery(
        repository=repository,
        forge=forge,
        delivery_id=number,
        event=event,
        ref=first.ref,
        before=first.before,
        after=first.after,
        pusher=first.pusher,
        pushes=[push.as_json() for push in pushes],
        answer=202,
    )


def _handle(row: Delivery, address: str) -> None:
    """Do what it asks for and store the row, in the caller's transaction.

    IntegrityError: one of the same number was stored before. Then all that was done here is undone with it.
    """
    pushes = [PushEvent(**push) for push in row.pushes]
    sent_again = row.replay_of is not None  # by a person, who means it
    handled = pushes_handle(repository=row.repository, pushes=pushes, address=address, may_be_late=not sent_again)
    row.outcome, row.handled_at = handled.lines, timezone.now()
    row.save(force_insert=True)
    if handled.runs:
        row.runs.set(handled.runs)


def _merged(rows: list[Delivery]) -> Answer:
    lines = [line for row in rows for line in row.outcome]
    data: dict[str, Any] = {
        "runs": [line["run"] for line in lines if line.get("run")],
        "outcomes": lines,
        "deliveries": [row.pk for row in rows],
    }
    if all(getattr(row, "repeated", False) for row in rows):
        data["repeated"] = True
    return Answer(status=202, data=data)


def delivery_resend(*, delivery: Delivery, actor: Actor) -> Delivery:
    """Handle a kept delivery once more, as a new row that names the old one. For those who may fetch."""
    repository = delivery.repository
    gate.require(
        actor=actor, act=gate.Act.ACT, subject=repository, action="resend delivery", detail={"delivery": delivery.pk}
    )
    pushes = [PushEvent(**push) for push in delivery.pushes]
    again = _row(repository, delivery.forge, delivery.event, f"again-{secrets.token_hex(8)}", pushes)
    again.body, again.replay_of = delivery.body, delivery
    with transaction.atomic():
        _handle(again, actor.address)
    return again


def deliveries_prune(now: datetime) -> int:
    """Forget deliveries older than DELIVERY_KEEP_DAYS; how many."""
    old = Delivery.objects.filter(received_at__lt=now - timedelta(days=settings.DELIVERY_KEEP_DAYS))
    _all, by_model = old.delete()
    return by_model.get("triggers.Delivery", 0)
