"""Triggers, agents and what firings led to, as rows made directly: the pages are tested apart from the work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.models import Subject
from apps.agents.models import Agent, Order
from apps.runs.models import Cause, Run
from apps.runs.states import ENDED, RunState
from apps.triggers.models import Effect, Firing, Trigger

SCRIPT = "steps:\n  - shell: |\n      git pull\n      systemctl restart shop\n"


def trigger_make(name: str = "web", **fields: Any) -> Trigger:
    return Trigger.objects.create(name=name, **fields)


def agent_make(name: str = "shop-1", *, online: bool = True, **fields: Any) -> Agent:
    now = timezone.now()
    wanted: dict[str, Any] = {
        "key_digest": f"digest of {name}",
        "enrolled_at": now - timedelta(days=3),
        "hostname": f"{name}.internal",
        "system": "Linux 6.1, Debian 12",
        "version": "1.0.0",
        "address": "10.20.30.40",
        "seen_at": now if online else now - timedelta(hours=2),
        "session": "process:1" if online else "",
        "transport": "websocket" if online else "",
        "disconnected_at": None if online else now - timedelta(hours=2),
    }
    return Agent.objects.create(name=name, **wanted | fields)


def run_make(subject: Subject, *, kind: str = "agent", state: RunState = RunState.SUCCEEDED, **fields: Any) -> Run:
    at = timezone.now() - timedelta(minutes=5)
    return Run.objects.create(
        kind=kind,
        subject_id=subject.pk,
        subject_path=subject.path,
        state=state,
        cause=Cause.TRIGGER,
        requested_name="secret",
        exclusive=False,
        started_at=None if state == RunState.QUEUED else at,
        ended_at=at + timedelta(seconds=4) if state in ENDED else None,
        time_limit=3600,
        silence_limit=900,
        **fields,
    )


def firing_make(trigger: Trigger, *, user: User | None = None, **fields: Any) -> Firing:
    """One that counts, unless `state` says otherwise."""
    fired = fields.get("state", Firing.State.FIRED) == Firing.State.FIRED
    if fired:
        trigger.count, trigger.fired_at = trigger.count + 1, timezone.now()
        trigger.save()
    wanted: dict[str, Any] = {
        "state": Firing.State.FIRED,
        "count": trigger.count if fired else None,
        "fired_at": trigger.fired_at if fired else None,
        "source": Firing.Source.HTTP,
        "cause": Cause.TRIGGER,
        "by": user.get_username() if user else "secret",
        "user": user,
        "door": "api",
        "address": "10.9.8.7",
    }
    return Firing.objects.create(trigger=trigger, **wanted | fields)


def effect_make(firing: Firing, target: str, *, run: Run | None = None, **fields: Any) -> Effect:
    state = Effect.State.STARTED if run is not None else Effect.State.PENDING
    return Effect.objects.create(
        firing=firing, trigger=firing.trigger, target=target, run=run, **{"state": state} | fields
    )


def agent_effect_make(firing: Firing, agent: Agent, state: RunState = RunState.SUCCEEDED, **fields: Any) -> Run:
    """The run of one agent for this firing, with its order."""
    run = run_make(firing.trigger, state=state, machine=f"agent {agent.name}", **fields)
    Order.objects.create(
        run=run,
        agent=agent,
        subject_id=firing.trigger.pk,
        name=firing.trigger.name,
        number=firing.count or 0,
        fired_at=firing.fired_at or timezone.now(),
        max_age=3600,
        open=state not in ENDED,
    )
    effect_make(firing, f"agent {agent.name}", run=run, agent=agent)
    return run
