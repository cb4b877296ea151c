"""What the hub reads at each look: the begun and the next of each series, however many wait behind them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.access.models import Subject
from apps.agents.models import Agent
from apps.agents.selectors import orders_open
from apps.runs.models import Run
from apps.runs.services import run_move
from apps.runs.states import RunState
from tests.agents.conftest import order_make

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOW = timezone.now()


@pytest.fixture
def agent(db: None) -> Agent:
    return Agent.objects.create(name="box", session="here:1")


def ask(agent: Agent, name: str, number: int, *, age: int = 0) -> Run:
    return order_make(agent, number, trigger=name, fired_at=NOW - timedelta(seconds=age), max_age=60)


def test_begun_and_next_of_each_series(agent: Agent) -> None:
    web = [ask(agent, "web", number) for number in range(1, 6)]
    docs = [ask(agent, "docs", number) for number in range(1, 4)]
    other = Agent.objects.create(name="elsewhere", session="there:1")
    ask(other, "web", 1)
    assert [order.run for order in orders_open("here:", NOW)] == [web[0].pk, docs[0].pk]
    run_move(run_id=web[0].pk, to=RunState.RUNNING)
    assert [order.run for order in orders_open("here:", NOW)] == [web[0].pk, docs[0].pk]
    run_move(run_id=web[0].pk, to=RunState.SUCCEEDED)
    assert [order.run for order in orders_open("here:", NOW)] == [web[1].pk, docs[0].pk]


def test_all_that_are_too_old_are_found_together(agent: Agent) -> None:
    old = [ask(agent, "web", number, age=100) for number in range(1, 6)]
    young = ask(agent, "web", 6)
    assert [order.run for order in orders_open("here:", NOW)] == [*(run.pk for run in old), young.pk]


def test_orders_of_a_trigger_that_is_gone_stay_apart(agent: Agent) -> None:
    runs = [ask(agent, name, 1) for name in ("web", "docs")]
    Subject.objects.all().delete()
    assert [order.run for order in orders_open("here:", NOW)] == [run.pk for run in runs]
