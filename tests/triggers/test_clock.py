"""The clock: what is due is done, one failing chore harms no other, and there is one clock at a time."""

from __future__ import annotations

import os
import subprocess
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from apps.runs.beats import beats_alive, lease_give_back, lease_take
from apps.runs.machine import machine_name
from apps.runs.models import Lease
from apps.triggers.chores import CHORES
from apps.triggers.clock import Chore, Clock

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def counted(name: str, every: float, calls: list[str]) -> Chore:
    return Chore(name=name, every=every, work=lambda now: calls.append(name))


def test_chores_are_done_as_often_as_they_say() -> None:
    calls: list[str] = []
    clock = Clock([counted("often", 1, calls), counted("rarely", 5, calls)])
    for tenths in range(100):
        clock.tick(100 + tenths / 10)
    assert calls.count("often") == 10
    assert calls.count("rarely") == 2


def test_a_failing_chore_keeps_no_other_from_its_turn(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []

    def fail(now: datetime) -> None:
        raise ZeroDivisionError("broken")

    clock = Clock([Chore(name="broken", every=1, work=fail), counted("sound", 1, calls)])
    for second in range(5):
        clock.tick(100.0 + second)
    assert len(calls) == 5
    assert [record.getMessage() for record in caplog.records] == ["The chore broken failed; it is tried again."]
    assert beats_alive("clock")[0].detail == {"failing": {"broken": "ZeroDivisionError: broken"}}


def test_a_chore_that_works_again_is_no_longer_said_to_fail() -> None:
    failing = [True]

    def sometimes(now: datetime) -> None:
        if failing.pop():
            raise ValueError("not yet")
        failing.append(False)

    failing[:] = [False, True]
    clock = Clock([Chore(name="sometimes", every=1, work=sometimes)])
    for second in range(6):
        clock.tick(100.0 + second)
    assert beats_alive("clock")[0].detail == {"failing": {}}


def test_one_clock_works_at_a_time_and_another_takes_over() -> None:
    calls: list[str] = []
    first = Clock([counted("first", 1, calls)], holder="a:1")
    second = Clock([counted("second", 1, calls)], holder="b:2")
    first.tick(100)
    second.tick(100)
    assert calls == ["first"]
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))  # the first has died
    second.tick(103)
    first.tick(103)
    assert calls == ["first", "second"]


def test_a_stopped_clock_gives_its_lease_back() -> None:
    clock = Clock([], holder="a:1")
    clock.tick(100)
    clock.stopping.set()
    clock.run()
    assert lease_take(name="clock", holder="b:2", seconds=10)


def test_a_clock_follows_a_killed_one_of_its_machine_at_once() -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    assert lease_take(name="clock", holder=f"{machine_name()}:{dead.pid}", seconds=10)
    clock = Clock([], holder=f"{machine_name()}:{os.getpid()}")
    clock.stopping.set()
    clock.run()
    assert lease_take(name="clock", holder="b:2", seconds=10)


def test_a_clock_waits_for_a_live_one_and_for_those_of_other_machines() -> None:
    for holder in (f"{machine_name()}:{os.getpid()}", "elsewhere:999999999"):
        Lease.objects.all().delete()
        assert lease_take(name="clock", holder=holder, seconds=10)
        other = Clock([], holder="b:2")
        other.stopping.set()
        other.run()
        assert not lease_take(name="clock", holder="b:2", seconds=10)


def test_a_lease_is_renewed_by_its_holder_and_refused_to_others() -> None:
    assert lease_take(name="thing", holder="a", seconds=10)
    assert lease_take(name="thing", holder="a", seconds=10)
    assert not lease_take(name="thing", holder="b", seconds=10)
    lease_give_back(name="thing", holder="b")
    assert not lease_take(name="thing", holder="b", seconds=10)
    lease_give_back(name="thing", holder="a")
    assert lease_take(name="thing", holder="b", seconds=10)


@pytest.mark.parametrize("chore", CHORES, ids=lambda chore: chore.name)
def test_every_chore_works_on_an_empty_installation_and_is_quick(
    chore: Chore, django_assert_max_num_queries: object
) -> None:
    most = 8 if chore.every < 60 else 24  # what seldom comes may do more, the first time above all
    with django_assert_max_num_queries(most):  # type: ignore[operator]
        chore.work(timezone.now())
