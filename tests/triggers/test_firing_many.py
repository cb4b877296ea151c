"""Many processes fire at once: each firing counts, once, and what was answered is there whatever is killed."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import pytest
from django.db import connections, transaction

from apps.access.errors import PanelError
from apps.agents.models import Order
from apps.environments.models import Deployment, Environment
from apps.runs.models import Run
from apps.runs.services import run_settle
from apps.runs.states import ENDED
from apps.triggers import tasks
from apps.triggers.models import Action, Effect, Firing, Trigger
from tests.triggers.firing import begun, ended, fire, trigger_with

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

PROCESSES = 4
forked = multiprocessing.get_context("fork")  # starting Python anew takes longer than all the firing
Tell = Callable[[Any], None]
Work = Callable[[Tell], None]


def _work(go: Any, told: Connection, work: Work) -> None:
    go.wait(120)
    try:
        work(told.send)
    except BaseException:
        traceback.print_exc()
        told.send("died")
    connections.close_all()
    os._exit(0)


@contextmanager
def at_once(*everyone: Work) -> Iterator[tuple[list[Any], list[Connection]]]:
    """Processes that begin together, each with its work, and what they tell."""
    connections.close_all()  # no two processes may share one
    go, processes, ears = forked.Event(), [], []
    for work in everyone:
        ear, mouth = forked.Pipe(duplex=False)
        processes.append(forked.Process(target=_work, args=(go, mouth, work)))
        processes[-1].start()
        mouth.close()
        ears.append(ear)
    go.set()
    try:
        yield processes, ears
    finally:
        for process, ear in zip(processes, ears, strict=True):
            process.kill()
            process.join()
            process.close()
            ear.close()


def firing(name: str, times: int, key: str = "") -> Work:
    """Fires so often, and tells each count."""

    def work(tell: Tell) -> None:
        trigger = Trigger.objects.get(name=name)
        for number in range(times):
            try:
                count = fire(trigger, idempotency_key=key and f"{key}{number}", payload={"after": f"v{number}"}).count
                tell((name, count))
            except PanelError as error:
                tell((name, type(error).__name__))

    return work


def heard(ear: Connection) -> Iterator[Any]:
    """All that a process tells until it ends."""
    try:
        while ear.poll(120):
            told = ear.recv()
            assert told != "died"
            yield told
    except EOFError:
        return
    raise AssertionError("waited in vain")


def test_many_processes_add_exactly_as_many_as_they_fire() -> None:
    """One trigger plain, one with keys that all of them use, one with a rate limit."""
    plain, keyed = trigger_with("web1", concurrency="each"), trigger_with("web1", name="keyed", concurrency="each")
    limited = trigger_with("web1", name="limited", rate_limit=30, rate_seconds=3600, concurrency="latest")
    said: dict[str, list[Any]] = {"web": [], "keyed": [], "limited": []}

    def work(tell: Tell) -> None:
        for one in (firing("web", 25), firing("keyed", 10, "k"), firing("limited", 20)):
            one(tell)

    with at_once(*[work] * PROCESSES) as (_, ears):
        for ear in ears:
            for name, answer in heard(ear):
                said[name].append(answer)

    assert sorted(said["web"]) == list(range(1, PROCESSES * 25 + 1))
    assert Trigger.objects.get(name="web").count == PROCESSES * 25
    numbers = list(Order.objects.filter(subject=plain.pk).order_by("run_id").values_list("number", flat=True))
    assert numbers == list(range(1, PROCESSES * 25 + 1))  # in the order in which they are carried out

    assert Counter(said["keyed"]) == dict.fromkeys(range(1, 11), PROCESSES)
    assert Trigger.objects.get(name="keyed").count == Firing.objects.filter(trigger=keyed).count() == 10

    assert Counter(said["limited"]) == {"RateLimited": 50} | dict.fromkeys(range(1, 31), 1)
    assert Trigger.objects.get(name="limited").count == Firing.objects.filter(trigger=limited).count() == 30
    waiting = Order.objects.filter(subject=limited.pk)
    assert [order.number for order in waiting] == [30]  # nobody began it, so each newer firing took it over


def test_what_was_answered_is_there_after_a_kill() -> None:
    trigger_with("web1", concurrency="each")
    with at_once(firing("web", 10_000)) as (processes, ears):
        told = [ears[0].recv() for _ in range(8)]
        processes[0].kill()
        told += heard(ears[0])
    with transaction.atomic():  # the lock is free when the database is done with what was on its way
        last, count = told[-1][1], Trigger.objects.select_for_update().get().count
    assert last <= count <= last + 1  # one more may have been on its way
    assert Firing.objects.filter(state="fired").count() == Order.objects.count() == count


def test_workers_that_look_at_the_same_time_start_each_deployment_once(staging: Environment) -> None:
    """Firings come while workers start what the earlier ones ask for: none is lost, none is started twice."""
    trigger = trigger_with(concurrency="each")
    action = Action.objects.create(trigger=trigger, kind="deploy", environment=staging, commit_from="/after")

    def working(tell: Tell) -> None:
        while not Effect.objects.filter(firing__count=20).exclude(state="pending").exists():
            tasks.actions_advance(action.pk)
            for deployment in Deployment.objects.filter(run__state="queued").select_related("run"):
                try:
                    ended(begun(deployment.run))
                except AssertionError:
                    continue  # the other worker was quicker
                run_settle(run_id=deployment.run_number)

    with at_once(firing("web", 20), working, working) as (_, ears):
        assert [count for _, count in heard(ears[0])] == list(range(1, 21))
        assert [*heard(ears[1]), *heard(ears[2])] == []
    assert list(Deployment.objects.order_by("pk").values_list("ref", flat=True)) == [f"v{at}" for at in range(20)]
    assert set(Effect.objects.values_list("state", flat=True)) == {"started"}
    assert Deployment.objects.filter(run__state__in=ENDED).count() >= 19


def test_latest_runs_after_the_last_firing_whatever_comes_between() -> None:
    """Firings replace what waits while the agent begins it: each run has one firing's news, none loses the last."""
    trigger_with("web1", concurrency="latest")

    def agent(tell: Tell) -> None:
        number = 0
        while number < 40:
            waiting = Run.objects.filter(state="queued").order_by("pk").first()
            if waiting is None:
                continue
            with transaction.atomic():  # as it is handed over
                run = begun(waiting)
                order = Order.objects.get(run=run)
            number = order.number
            tell((number, order.payload["after"], Firing.objects.get(count=number).payload["after"]))
            ended(run)

    with at_once(agent, firing("web", 20), firing("web", 20)) as (_, ears):
        runs = list(heard(ears[0]))
        assert [*heard(ears[1]), *heard(ears[2])] != []
    numbers = [number for number, _, _ in runs]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 40
    assert all(given == fired for _, given, fired in runs)
    states = Effect.objects.order_by("firing__count").values_list("state", flat=True)
    assert [at for at, state in enumerate(states, start=1) if state == "started"] == numbers
