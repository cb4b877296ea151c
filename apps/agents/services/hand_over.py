"""From the queue to an agent: the run is its agent's in the database before a word of it is sent."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import Concat

from apps.access.errors import DecryptionError
from apps.agents import protocol
from apps.agents.models import Order
from apps.agents.services.give_up import order_refuse
from apps.agents.services.signing import signer
from apps.runs.services import runs_begin
from apps.runs.states import RunState

if TYPE_CHECKING:
    from collections.abc import Collection

logger = logging.getLogger(__name__)


def orders_begin(run_ids: Collection[int]) -> dict[int, str]:
    """Make these queued runs their agents', all at once; by run, what to send of those that are now.

    The order is read after its run has moved: until then a newer firing may replace it.
    """
    if not run_ids:
        return {}
    owner = Order.objects.filter(run_id=OuterRef("pk")).values("agent__name")[:1]
    machine = Concat(Value("agent "), Subquery(owner))
    with transaction.atomic():
        begun = runs_begin(run_ids=run_ids, token=secrets.token_hex(16), machine=machine)
        return _messages(begun, again=False)


def orders_tell_again(run_ids: Collection[int]) -> dict[int, str]:
    """What to send of runs that are their agents' already, but that this line has not heard of."""
    if not run_ids:
        return {}
    with transaction.atomic():
        return _messages(run_ids, again=True)


def _messages(run_ids: Collection[int], *, again: bool) -> dict[int, str]:
    found: dict[int, str] = {}
    for order in Order.objects.filter(run_id__in=run_ids, open=True).select_related("agent", "run"):
        try:
            found[order.run_id] = _message(order, again=again)
        except DecryptionError as error:
            logger.error("Run %s cannot be handed over: %s", order.run_id, error)
            order_refuse(order.run_id, f"Its script cannot be signed: {error}", RunState.RUNNING)
    return found


def _message(order: Order, *, again: bool) -> str:
    script = order.script or None
    values: dict[str, Any] = {
        "run": order.run_id,
        "trigger": order.name,
        "count": order.number,
        "fired_at": order.fired_at.isoformat(),
        "max_age": order.max_age,
        "payload": order.payload,
        "script": script,
        "signature": _signature(order) if script else None,
        "time_limit": order.run.time_limit,
        "silence_limit": order.run.silence_limit,
        "again": again,
        "stored": order.events,
    }
    return protocol.line("run", **values)


def _signature(order: Order) -> str:
    return signer().sign(
        agent=order.agent.name, run=order.run_id, trigger=order.name, count=order.number, script=order.script
    )
