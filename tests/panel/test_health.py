"""`/health` for monitors: states and reasons, quickly, and nothing that helps an attacker."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from apps.runs.beats import beat
from apps.runs.models import Beat
from apps.runs.queue import ring

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def alive() -> None:
    beat(role="clock", detail={"failing": {}})
    beat(role="worker")


def test_health_is_200_when_all_lives(client: Client, alive: None, django_assert_max_num_queries: object) -> None:
    with django_assert_max_num_queries(4):  # type: ignore[operator]
        answer = client.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["reasons"]) == ("ok", [])
    assert set(body["parts"]) == {"database", "queue", "workers", "scheduler"}
    assert "no-store" in answer["Cache-Control"]


def test_health_is_503_with_every_reason(client: Client) -> None:
    ring("apps.runs.beats.worker_beat")
    OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=60))
    answer = client.get("/health")
    assert answer.status_code == 503
    queue, *others = answer.json()["reasons"]
    assert re.fullmatch(r"queue: 1 tasks wait, the oldest for 6\d s", queue)  # and however long the asking took
    assert others == [
        "workers: no worker has executed a task lately",
        "scheduler: no clock has ticked lately",
    ]


def test_health_forgets_old_signs_of_life(client: Client, alive: None) -> None:
    Beat.objects.update(at=timezone.now() - timedelta(minutes=1))
    assert client.get("/health").json()["status"] == "failing"


def test_health_without_a_database_says_so_and_no_more(
    client: Client, alive: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise DatabaseError("connection to 10.0.0.5 with password hunter2 failed")

    monkeypatch.setattr("deploypanel.health.queue_state", away)
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["reasons"][0] == "database: does not answer (DatabaseError)"
    assert "hunter2" not in answer.content.decode()


def test_health_tells_no_machine_and_no_process(client: Client, alive: None) -> None:
    body = client.get("/health").content.decode()
    row = Beat.objects.first()
    assert row is not None
    assert row.machine not in body
    assert client.post("/health").status_code == 405
