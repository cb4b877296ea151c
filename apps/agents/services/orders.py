"""Work for agents: asked for by triggers, carried out by `deploypanel-agent`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from apps.agents.models import Agent, Order
from apps.runs.knock import knock
from apps.runs.services import run_request

if TYPE_CHECKING:
    import datetime as dt

    from apps.access.actor import Actor
    from apps.access.models import Subject
    from apps.runs.models import Cause, Run


def order_request(
    *,
    agent: Agent,
    subject: Subject,
    name: str,
    number: int,
    fired_at: dt.datetime,
    max_age: int,
    actor: Actor,
    cause: Cause,
    payload: Any = None,
    script: str = "",
    time_limit: int | None = None,
    silence_limit: int | None = None,
) -> Run:
    """A run for this agent, queued until it is connected and done with earlier ones of the same subject."""
    with transaction.atomic():
        run = run_request(
            kind="agent",
            subject=subject,
            actor=actor,
            cause=cause,
            params=knock(actor),
            exclusive=False,
            time_limit=time_limit,
            silence_limit=silence_limit,
        )
        Order.objects.create(
            run=run,
            agent=agent,
            subject=subject,
            name=name,
            number=number,
            payload=payload,
            script=script,
            fired_at=fired_at,
            max_age=max_age,
        )
    return run
