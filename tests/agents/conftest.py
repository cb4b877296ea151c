"""Agents with keys, orders for them, and a web process that serves all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.access.models import Subject
from apps.agents.keys import key_digest, key_new
from apps.agents.models import Agent
from apps.agents.services.orders import News, orders_request
from apps.runs.models import Cause, Run
from tests.live.server import WebServer
from tests.live.shared import shared_server
from tests.support.runner import OPERATOR

MakeOrder = Callable[..., Run]


def agent_make(name: str, **values: Any) -> tuple[Agent, str]:
    """An enrolled agent and its key."""
    key = key_new()
    return Agent.objects.create(name=name, key_digest=key_digest(key), **values), key


def order_make(agent: Agent, number: int = 1, trigger: str = "web", age: float = 0, **values: Any) -> Run:
    """What a firing `age` seconds ago asks of the agent."""
    subject, _ = Subject.objects.get_or_create(kind="trigger", path=trigger)
    limits = {name: values.pop(name) for name in ("time_limit", "silence_limit") if name in values}
    told: dict[str, Any] = {"fired_at": timezone.now() - timedelta(seconds=age), "max_age": 3600}
    news = News(name=trigger, number=number, **(told | values))
    (run,) = orders_request(agents=[agent], subject=subject, news=news, actor=OPERATOR, cause=Cause.TRIGGER, **limits)
    return run


@pytest.fixture(scope="session")
def web(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    with shared_server(tmp_path_factory) as server:
        yield server


@pytest.fixture
def box(transactional_db: None) -> tuple[Agent, str]:
    return agent_make("box")
