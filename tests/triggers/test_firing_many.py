"""Many processes fire at once: each firing counts, once, and what was answered is there whatever is killed."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import pytest
from django.db import connections

from apps.access.errors import PanelError
from apps.agents.models import Order
from apps.triggers.models import Firing, Trigger
from tests.triggers.firing import fire, trigger_with

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

PROCESSES = 4
forked = multiprocessing.get_context("fork")  # starting Python anew takes longer than all the firing
Work = tuple[str, int, str]  # trigger, how often, key


def _work(go: Any, told: Connection, works: list[Work]) -> None:
    go.wait(60)
    for name, times, key in works:
        trigger = Trigger.objects.get(name=name)
        for number in range(times):
            try:
                told.send((name, fire(trigger, idempotency_key=key and f"{key}{number}").count))
            except PanelError as error:
                told.send((name, type(error).__name__))
    connections.close_all()
    os._exit(0)


@contextmanager
def at_once(*everyone: list[Work]) -> Iterator[tuple[list[Any], list[Connection]]]:
    """Processes that begin together, each with its work, and what they tell."""
    connections.close_all()  # no two processes may share one
    go, processes, ears = forked.Event(), [], []
    for works in everyone:
        ear, mouth = forked.Pipe(duplex=False)
        processes.append(forked.Process(target=_work, args=(go, mouth, works)))
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


def heard(ear: Connection) -> Iterator[tuple[str, Any]]:
    """All that a process tells until it ends."""
    try:
        while ear.poll(60):
            yield ear.recv()
    except EOFError:
        return
    raise AssertionError("waited in vain")


def test_many_processes_add_exactly_as_many_as_they_fire() -> None:
    """One trigger plain, one with keys that all of them use, one with a rate limit."""
    plain, keyed = trigger_with("web1", concurrency="each"), trigger_with("web1", name="keyed", concurrency="each")
    limited = trigger_with("web1", name="limited", rate_limit=30, rate_seconds=3600, concurrency="latest")
    said: dict[str, list[Any]] = {"web": [], "keyed": [], "limited": []}
    with at_once(*([("web", 25, ""), ("keyed", 10, "k"), ("limited", 20, "")] for _ in range(PROCESSES))) as (_, ears):
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
    with at_once([("web", 10_000, "")]) as (processes, ears):
        told = [ears[0].recv() for _ in range(8)]
        processes[0].kill()
        told += heard(ears[0])
    last, count = told[-1][1], Trigger.objects.get().count
    assert last <= count <= last + 1  # one more may have been on its way
    assert Firing.objects.filter(state="fired").count() == Order.objects.count() == count
