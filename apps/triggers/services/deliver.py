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
from django.db import transaction
from django.utils import timezone

from apps.access import gate
from apps.access.secrets import decrypt, encrypt
from apps.triggers import signatures, webhooks
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
    from apps.triggers.services.push import Handled

logger = logging.getLogger(__name__)
BODY_KEPT = 64 * 1024  # characters
UNFINISHED = timedelta(seconds=30)  # after which a delivery that nobody finished may be handled again


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
    genuine = _genuine(call, repositories_told(webhooks.names_of(payload), call.name))
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
    return repository.webhook_secret, repository.webhook_secret_old


@lru_cache(maxsize=1)
def _decoy() -> tuple[str, str]:
    return encrypt(secrets.token_hex(32)), encrypt(secrets.token_hex(32))


def _deliver(
    call: Call, repository: Repository, event: str, pushes: list[PushEvent], payload: dict[str, Any]
) -> Delivery:
    """The delivery's row, claimed and handled; one seen before as it is, with nothing done."""
    masked = json.dumps(webhooks.masked(payload, _secrets(repository)), indent=1, ensure_ascii=True)
    first = pushes[0]
    row, new = Delivery.objects.get_or_create(
        repository=repository,
        forge=call.forge,
        delivery_id=signatures.delivery_of(call.forge, call.headers, call.body),
        defaults={
            "event": event,
            "ref": first.ref,
            "before": first.before,
            "after": first.after,
            "pusher": first.pusher,
            "pushes": [push.as_json() for push in pushes],
            "body": masked[:BODY_KEPT],
            "answer": 202,
        },
    )
    row.repeated = not new  # type: ignore[attr-defined]
    if new or _taken_over(row):
        _handle(row, repository, pushes, call.address)
    return row


def _taken_over(row: Delivery) -> bool:
    """Whether a delivery seen before was left unfinished by a process that died, and is now ours."""
    now = timezone.now()
    if row.handled_at is not None or row.received_at > now - UNFINISHED:
        return False
    mine = Delivery.objects.filter(pk=row.pk, handled_at=None, received_at=row.received_at)
    return bool(mine.update(received_at=now))


def _handle(row: Delivery, repository: Repository, pushes: list[PushEvent], address: str) -> Handled:
    handled = pushes_handle(repository=repository, pushes=pushes, address=address)
    row.outcome, row.handled_at = handled.lines, timezone.now()
    with transaction.atomic():
        Delivery.objects.filter(pk=row.pk).update(outcome=row.outcome, handled_at=row.handled_at)
        if handled.runs:
            row.runs.set(handled.runs)
    return handled


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
    again = Delivery.objects.create(
        forge=delivery.forge,
        delivery_id=f"again-{secrets.token_hex(8)}",
        repository=repository,
        event=delivery.event,
        ref=delivery.ref,
        before=delivery.before,
        after=delivery.after,
        pusher=delivery.pusher,
        pushes=delivery.pushes,
        body=delivery.body,
        answer=delivery.answer,
        replay_of=delivery,
    )
    _handle(again, repository, [PushEvent(**push) for push in delivery.pushes], actor.address)
    return again


def deliveries_prune(now: datetime) -> int:
    """Forget deliveries older than DELIVERY_KEEP_DAYS; how many."""
    old = Delivery.objects.filter(received_at__lt=now - timedelta(days=settings.DELIVERY_KEEP_DAYS))
    _all, by_model = old.delete()
    return by_model.get("triggers.Delivery", 0)
