"""An agent's line: who is at its other end, what it has kept, and that it is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from apps.agents import protocol
from apps.agents.hand_over import series
from apps.agents.models import Agent, Order
from apps.runs.models import Run
from apps.runs.states import ALIVE, ENDED, RunState

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping

    from apps.agents.protocol import Held, Hello


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Who has come. `messages`: what to answer first."""

    agent: int
    name: str
    messages: list[str]
    lingering: dict[int, Hashable] = field(default_factory=dict)  # runs given up as lost that it still carries out


def agent_arrive(*, key_digest: str, session: str, transport: str, address: str, hello: Hello) -> Arrival | None:
    """Make this session the agent's newest. None when no agent has this key."""
    now = timezone.now()
    with transaction.atomic():
        agent = Agent.objects.select_for_update().filter(key_digest=key_digest).first() if key_digest else None
        if agent is None:
            return None
        agent.version, agent.system, agent.hostname = hello.version, hello.system, hello.hostname
        agent.session, agent.transport, agent.address = session, transport, address[:64]
        agent.connected_at = agent.seen_at = now
        agent.save(
            update_fields=[
                *("version", "system", "hostname", "session", "transport"),
                *("address", "connected_at", "seen_at"),
            ]
        )
        return _arrival(agent, hello)


def agent_depart(*, session: str) -> None:
    """This session is over. Nothing happens when the agent has a newer one."""
    Agent.objects.filter(session=session).update(session="", disconnected_at=timezone.now())


def agents_depart(*, prefix: str) -> None:
    """All sessions of a process that ends are over."""
    Agent.objects.filter(session__startswith=prefix).update(session="", disconnected_at=timezone.now())


def agents_seen(*, agent_ids: Collection[int]) -> None:
    """These have been heard of just now."""
    Agent.objects.filter(pk__in=agent_ids).update(seen_at=timezone.now())


def runs_beat(*, beats: Mapping[int, Collection[int]]) -> int:
    """Agents, by number, still hold these runs; how many of the runs are theirs and unfinished."""
    named = {run for runs in beats.values() for run in runs}
    orders = Order.objects.filter(run_id__in=named, open=True).values_list("run_id", "agent_id")
    own = [run for run, agent in orders if run in beats.get(agent, ())]
    return Run.objects.filter(pk__in=own, state__in=ALIVE).update(heartbeat_at=timezone.now()) if own else 0


def _arrival(agent: Agent, hello: Hello) -> Arrival:
    orders = Order.objects.filter(agent=agent, run_id__in=list(hello.runs)).select_related("run")
    known = {order.run_id: order for order in orders}
    messages: list[str] = [protocol.welcome(agent.name)]
    lingering: dict[int, Hashable] = {}
    own = {run_id: order for run_id, order in known.items() if _is_same(order, hello.runs[run_id])}
    for run_id, held in hello.runs.items():
        order = own.get(run_id)
        if order is not None:
            messages.append(protocol.line("ack", run=run_id, events=order.events))
        if order is None or _is_over(order.run):
            messages.append(protocol.line("forget", run=run_id))
        elif order.run.state == RunState.LOST and not held.ended:
            lingering[run_id] = series(order.subject_id, order.name)
    runs_beat(beats={agent.pk: [run for run in own if not hello.runs[run].ended]})
    return Arrival(agent=agent.pk, name=agent.name, messages=messages, lingering=lingering)


def _is_same(order: Order, held: Held) -> bool:
    """Whether the agent means this run: a panel that was restored from a backup gives out numbers a second time."""
    return not held.fired_at or held.fired_at == order.fired_at.isoformat()


def _is_over(run: Run) -> bool:
    """Whether nothing that the agent could tell of it is missing. Of a lost run everything is welcome."""
    return run.state in ENDED and run.state != RunState.LOST
