"""Agents that fall silent: how long the panel has patience, and what becomes of what waits for them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.protocol import Events, understood
from apps.agents.services.hand_over import orders_begin
from apps.agents.services.report import Report, Stored, reports_store
from apps.runs.models import Run
from apps.runs.services import runs_reap
from apps.runs.services.reap import Watch
from apps.runs.states import RunState
from tests.agents.client import connected, ended, event, log
from tests.agents.conftest import agent_make, order_make
from tests.live.server import WebServer
from tests.support.runner import log_text

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def report(run: Run, first: int, *events: dict[str, object]) -> Stored:
    message = understood({"type": "events", "run": run.pk, "first": first, "events": list(events)})
    assert isinstance(message, Events)
    return reports_store([Report(run.order.agent_id, message)])[0]


def reap_after(run: Run, seconds: float) -> str:
    """Its state when it has been silent for so long, and the clock has looked all the time."""
    now = timezone.now() + timedelta(seconds=seconds)
    watch = Watch()
    watch.since = watch._last = now - timedelta(seconds=1)
    watch.since -= timedelta(hours=1)
    runs_reap(now, watch)
    run.refresh_from_db()
    return run.state


def test_an_agent_gets_longer_than_a_runner() -> None:
    agent, _ = agent_make("box")
    run = order_make(agent)
    assert reap_after(run, 1000) == RunState.QUEUED
    orders_begin([run.pk])
    assert reap_after(run, 110) == RunState.RUNNING
    assert reap_after(run, 130) == RunState.LOST
    assert "was not heard of for 120 seconds" in run.summary
    assert not run.order.open
    stored = report(run, 1, event("started"), log("went on\n"), ended("failed", "It broke."))
    assert stored.ended
    run.refresh_from_db()
    assert (run.state, run.summary) == (RunState.FAILED, "It broke.")
    assert log_text(run, stream="out") == "went on\n"
    late = report(run, 4, ended("succeeded"))
    assert [text.split('"')[3] for text in late.messages] == ["ack", "forget"]
    run.refresh_from_db()
    assert run.state == RunState.FAILED


def test_a_hand_over_that_the_database_has_forgotten_is_caught_up_on() -> None:
    """After a power cut the last commits may be missing: the agent has the run, and the panel believes it queued."""
    agent, _ = agent_make("box")
    run = order_make(agent)
    report(run, 1, event("started"), ended())
    run.refresh_from_db()
    assert (run.state, run.machine) == (RunState.SUCCEEDED, "agent box")


def test_many_reports_in_one_transaction_each_keep_their_own() -> None:
    agents = [agent_make(f"box{number}")[0] for number in range(5)]
    runs = [order_make(agent) for agent in agents]
    orders_begin([run.pk for run in runs])
    messages = [
        understood({"type": "events", "run": run.pk, "first": 1, "events": [log(f"{number}\n"), ended()]})
        for number, run in enumerate(runs)
    ]
    reports_store(
        [Report(agent.pk, one) for agent, one in zip(agents, messages, strict=True) if isinstance(one, Events)]
    )
    assert [log_text(run, stream="out") for run in runs] == [f"{number}\n" for number in range(5)]
    assert set(Run.objects.values_list("state", flat=True)) == {RunState.SUCCEEDED}


def test_a_number_given_out_again_after_a_restore_is_another_run(web: WebServer, box: tuple[Agent, str]) -> None:
    """What the agent holds under it is no part of the new run, and is dropped."""
    agent, key = box
    run = order_make(agent)
    held = {"events": 7, "ended": True, "fired_at": "2025-01-01T00:00:00+00:00"}
    with connected(web.url, key, {run.pk: held}) as client:
        client.expect("forget", run=run.pk)
        assert [one["type"] for one in client.seen] == ["welcome", "forget"]
        given = client.expect("run", run=run.pk)
        assert (given["again"], given["stored"]) == (False, 0)
        client.events(run.pk, 1, event("started"), log("new\n"))
        client.expect("ack", events=2)
    held = {"events": 2, "ended": False, "fired_at": given["fired_at"]}
    with connected(web.url, key, {run.pk: held}) as client:
        client.expect("ack", run=run.pk, events=2)
        given = client.expect("run", run=run.pk)
        assert (given["again"], given["stored"]) == (True, 2)
