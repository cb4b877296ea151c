"""What a firing leads to, one effect for each target, decided in the transaction that counts it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db.models import Count

from apps.access.errors import InputError
from apps.agents.models import Order
from apps.agents.services.orders import News, orders_replace, orders_request
from apps.runs.models import Cause
from apps.runs.states import ENDED, RunState
from apps.triggers.models import Action, Concurrency, Effect
from apps.triggers.rules import rule_holds
from apps.triggers.services.admit import actor_behind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.agents.models import Agent
    from apps.triggers.models import Firing

State = Effect.State
MOST_WAITING = 20_000  # runs of one trigger that wait for one agent


def effects_create(firing: Firing) -> bool:
    """Write down what it leads to, and give the agents their orders; whether a worker has something to start."""
    actions = list(firing.trigger.actions.select_related("environment", "node", "cluster").prefetch_related("hosts"))
    agents = list(firing.trigger.agents.order_by("name"))
    effects = _agents_effects(firing, agents, [one for one in actions if one.kind == Action.Kind.AGENTS])
    effects += [_action_effect(firing, one) for one in actions if one.kind != Action.Kind.AGENTS]
    Effect.objects.bulk_create(effects)
    return any(effect.state == State.PENDING for effect in effects)


def _effect(firing: Firing, target: str, state: Effect.State, text: str = "", **more: Any) -> Effect:
    return Effect(firing=firing, trigger=firing.trigger, target=target[:200], state=state, text=text[:500], **more)


def _unmet(firing: Firing, action: Action) -> tuple[Effect.State, str] | None:
    """Why the action's rule keeps it from being done; None when it is to be done."""
    try:
        if rule_holds(action.when, firing.payload):
            return None
    except InputError as error:
        return State.FAILED, f"Its rule cannot be read: {error}"
    return State.UNMET, "The payload is not as its rule asks."


# Actions of the panel: a worker starts them, one after the other.


def _action_effect(firing: Firing, action: Action) -> Effect:
    target = target_words(action)
    if unmet := _unmet(firing, action):
        return _effect(firing, target, *unmet, action=action)
    concurrency = firing.trigger.concurrency
    earlier = Effect.objects.filter(action=action)
    if concurrency == Concurrency.LATEST:
        waiting = earlier.filter(state=State.PENDING)
        waiting.update(state=State.MERGED, text=f"Firing {firing.count} came before its turn.")
    elif concurrency == Concurrency.SKIP and unfinished(earlier):
        return _effect(firing, target, State.SKIPPED, "What an earlier firing started is not finished.", action=action)
    return _effect(firing, target, State.PENDING, action=action)


def unfinished(effects: Any) -> bool:
    """Whether one of them waits for its turn, or its run has not ended."""
    if effects.filter(state=State.PENDING).exists():
        return True
    started = effects.filter(state=State.STARTED, run__isnull=False)
    return bool(started.exclude(run__state__in=ENDED).exists())


def target_words(action: Action) -> str:
    """What it acts upon, as people know it."""
    if action.kind == Action.Kind.DEPLOY:
        return action.environment.path if action.environment else "an environment that is gone"
    if action.kind == Action.Kind.SYNC:
        return action.node.path if action.node else "a node that is gone"
    places = [host.name for host in action.hosts.all()] + ([action.cluster.name] if action.cluster else [])
    return f"script on {', '.join(places) or 'no host'}"


# Agents: their orders are written with the firing, so that they hear of it at once.


@dataclass
class _Sorted:
    """The trigger's agents, by what becomes of this firing for each."""

    fresh: list[Agent] = field(default_factory=list)
    replace: dict[int, Agent] = field(default_factory=dict)  # by the run that waits
    settled: list[Effect] = field(default_factory=list)


def _agents_effects(firing: Firing, agents: Sequence[Agent], asking: Sequence[Action]) -> list[Effect]:
    if not agents:
        return []
    unmet = [_unmet(firing, action) for action in asking]
    if unmet and None not in unmet:
        state, text = next(found for found in unmet if found)
        return [_effect(firing, agent.name, state, text, agent=agent, action=asking[0]) for agent in agents]
    found = _sort(firing, agents)
    return found.settled + _replaced(firing, found) + _requested(firing, found.fresh)


def _sort(firing: Firing, agents: Sequence[Agent]) -> _Sorted:
    concurrency, found = firing.trigger.concurrency, _Sorted()
    waiting, busy, lengths = _orders_open(firing)
    for agent in agents:
        if not agent.enabled:
            found.settled.append(_effect(firing, agent.name, State.REFUSED, "The agent is off.", agent=agent))
        elif concurrency == Concurrency.SKIP and agent.pk in busy:
            text = "Its run of an earlier firing is not finished."
            found.settled.append(_effect(firing, agent.name, State.SKIPPED, text, agent=agent))
        elif concurrency == Concurrency.LATEST and agent.pk in waiting:
            found.replace[waiting[agent.pk]] = agent
        elif lengths.get(agent.pk, 0) >= MOST_WAITING:
            text = f"{MOST_WAITING} runs wait for this agent already."
            found.settled.append(_effect(firing, agent.name, State.REFUSED, text, agent=agent))
        else:
            found.fresh.append(agent)
    return found


def _orders_open(firing: Firing) -> tuple[dict[int, int], set[int], dict[int, int]]:
    """Of each agent by its id: the newest run that waits; whether it has any that is not finished; how many."""
    if firing.trigger.concurrency == Concurrency.EACH:
        return {}, set(), _lengths(firing)
    waiting: dict[int, int] = {}
    busy: set[int] = set()
    rows = Order.objects.filter(subject=firing.trigger_id, open=True).order_by("run_id")
    for agent_id, run_id, state in rows.values_list("agent_id", "run_id", "run__state"):
        busy.add(agent_id)
        if state == RunState.QUEUED:
            waiting[agent_id] = run_id
    return waiting, busy, {}


def _lengths(firing: Firing) -> dict[int, int]:
    rows = Order.objects.filter(subject=firing.trigger_id, open=True).values("agent_id").order_by()
    return {row["agent_id"]: row["number"] for row in rows.annotate(number=Count("run_id"))}


def _news(firing: Firing) -> News:
    assert firing.count is not None
    assert firing.fired_at is not None
    trigger = firing.trigger
    return News(
        name=trigger.name,
        number=firing.count,
        fired_at=firing.fired_at,
        max_age=trigger.max_age,
        payload=firing.payload,
        script=trigger.script,
    )


def _replaced(firing: Firing, found: _Sorted) -> list[Effect]:
    """Runs that wait take this firing's news; of those that an agent has begun meanwhile, one more is asked for."""
    if not found.replace:
        return []
    taken = orders_replace(
        run_ids=found.replace, news=_news(firing), actor=actor_behind(firing), cause=Cause(firing.cause)
    )
    text = f"Its run went on to firing {firing.count} before it began."
    Effect.objects.filter(run__in=taken, state=State.STARTED).update(state=State.MERGED, text=text)
    found.fresh += [agent for run, agent in found.replace.items() if run not in taken]
    return [
        _effect(firing, found.replace[run].name, State.STARTED, agent=found.replace[run], run_id=run)
        for run in sorted(taken)
    ]


def _requested(firing: Firing, agents: Sequence[Agent]) -> list[Effect]:
    if not agents:
        return []
    trigger = firing.trigger
    runs = orders_request(
        agents=agents,
        subject=trigger,
        news=_news(firing),
        actor=actor_behind(firing),
        cause=Cause(firing.cause),
        time_limit=trigger.time_limit,
        silence_limit=trigger.silence_limit,
    )
    return [
        _effect(firing, agent.name, State.STARTED, agent=agent, run=run)
        for agent, run in zip(agents, runs, strict=True)
    ]
