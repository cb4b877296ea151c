"""What the tests of firings share: triggers, agents, and a way to fire."""

from __future__ import annotations

from typing import Any

from apps.access.actor import Actor, Door
from apps.agents.models import Agent
from apps.runs.models import Cause, Run
from apps.runs.services import run_move
from apps.runs.states import RunState
from apps.triggers.models import Firing, Trigger
from apps.triggers.services.fire import trigger_fire

SECRET = Actor(user=None, door=Door.API, by_secret=True, address="192.0.2.1")


def trigger_with(*agents: str, name: str = "web", **fields: Any) -> Trigger:
    trigger = Trigger.objects.create(name=name, **fields)
    trigger.agents.set([Agent.objects.get_or_create(name=agent, defaults={"key_digest": "x"})[0] for agent in agents])
    return trigger


def fire(trigger: Trigger, **fields: Any) -> Firing:
    asked: dict[str, Any] = {"actor": SECRET, "cause": Cause.TRIGGER, "source": Firing.Source.HTTP}
    return trigger_fire(trigger=trigger, **(asked | fields))


def told(firing: Firing) -> list[tuple[str, str]]:
    """What became of it, for each target."""
    return list(firing.effects.order_by("target").values_list("target", "state"))


def begun(run: Run | None) -> Run:
    """As an agent begins it."""
    assert run is not None
    moved = run_move(run_id=run.pk, to=RunState.RUNNING, before=[RunState.QUEUED], token="t")
    assert moved is not None
    return moved


def ended(run: Run | None, state: RunState = RunState.SUCCEEDED) -> Run:
    assert run is not None
    moved = run_move(run_id=run.pk, to=state)
    assert moved is not None
    return moved
