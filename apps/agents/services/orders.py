"""Work for agents: asked for by triggers, carried out by `deploypanel-agent`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction

from apps.agents.bell import ring_agents
from apps.agents.models import Agent, Order
from apps.runs.bell import ring_viewers
from apps.runs.knock import knock
from apps.runs.models import Cause, Run
from apps.runs.services import runs_request_remote
from apps.runs.states import RunState

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    from apps.access.actor import Actor
    from apps.access.models import Subject


@dataclass(frozen=True, kw_only=True)
class News:
    """What one firing says to its agents: the same for all of them."""

    name: str
    number: int
    fired_at: dt.datetime
    max_age: int  # seconds
    payload: Any = None
    script: str = ""


def orders_request(
    *,
    agents: Sequence[Agent],
    subject: Subject,
    news: News,
    actor: Actor,
    cause: Cause,
    time_limit: int | None = None,
    silence_limit: int | None = None,
) -> list[Run]:
    """A run for each of these agents, in their order, in a few statements however many they are."""
    with transaction.atomic():
        runs = runs_request_remote(
            kind="agent",
            subject=subject,
            actor=actor,
            cause=cause,
            params=[knock(actor) for _ in agents],
            time_limit=time_limit,
            silence_limit=silence_limit,
        )
        told = asdict(news)
        Order.objects.bulk_create(
            Order(run=run, agent=agent, subject_id=subject.pk, **told) for run, agent in zip(runs, agents, strict=True)
        )
        ring_agents()
    return runs


def orders_replace(*, run_ids: Iterable[int], news: News, actor: Actor, cause: Cause) -> set[int]:
    """Give runs that no agent has begun a newer firing's news; the ids of those that took it.

    Who hands a run over moves it from *queued* first, and reads its order after that in the same transaction: so it
    finds either all of the older firing, or all of the newer one. A run that somebody moves at this moment is left to
    him: waiting for many of them could end in a deadlock.
    """
    with transaction.atomic():
        free = Run.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
        taken = set(free.filter(pk__in=set(run_ids), state=RunState.QUEUED).values_list("pk", flat=True))
        Run.objects.filter(pk__in=taken).update(
            cause=cause, requested_by=actor.user, requested_name=actor.name[:150], params=knock(actor)
        )
        Order.objects.filter(run__in=taken).update(**asdict(news))
        ring_viewers(*taken)
    return taken
