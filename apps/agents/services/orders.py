"""Work for agents: asked for by triggers, carried out by `deploypanel-agent`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction

from apps.agents.bell import ring_agents
from apps.agents.models import Agent, Order
from apps.runs.bell import ring_viewers
from apps.runs.knock import knock
from apps.runs.models import Cause, Run
from apps.runs.recorder import note_append
from apps.runs.services import run_move, runs_request_remote
from apps.runs.states import RunState

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    from apps.access.actor import Actor
    from apps.access.models import Subject

EXPIRED_AT_ONCE = 100


@dataclass(frozen=True, kw_only=True)
class News:
    """What one firing says to its agents: the same for all of them."""

    name: str
    number: int
    fired_at: dt.datetime
    max_age: int  # seconds
    payload: Any = None
    script: str = ""


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
    news = News(name=name, number=number, fired_at=fired_at, max_age=max_age, payload=payload, script=script)
    limits = {"time_limit": time_limit, "silence_limit": silence_limit}
    return orders_request(agents=[agent], subject=subject, news=news, actor=actor, cause=cause, **limits)[0]


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


def order_replace(*, run: Run, news: News, actor: Actor, cause: Cause) -> bool:
    """The same for one run; False when its agent has begun it, or it has ended."""
    return bool(orders_replace(run_ids=[run.pk], news=news, actor=actor, cause=cause))


def orders_expire(now: dt.datetime) -> int:
    """End what waited for an agent that was away for longer than the trigger allows; how many. For the clock."""
    waiting = Order.objects.filter(open=True, run__state=RunState.QUEUED).order_by("pk")
    count = 0
    for max_age in set(waiting.order_by().values_list("max_age", flat=True).distinct()):
        old = waiting.filter(max_age=max_age, fired_at__lt=now - timedelta(seconds=max_age))
        count += sum(_expire(order) for order in old.select_related("agent")[:EXPIRED_AT_ONCE])
    return count


def _expire(order: Order) -> bool:
    sentence = f"Not run: {order.agent} did not come for it within {timedelta(seconds=order.max_age)}."
    with transaction.atomic():
        ended = run_move(run_id=order.pk, to=RunState.FAILED, before=[RunState.QUEUED], summary=sentence)
        if ended:
            note_append(ended, sentence)
    return ended is not None
