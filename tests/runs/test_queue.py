"""The queue's own ways to fail, each with a run in progress: the run ends truthfully and the next one begins.

Every case here was seen to happen to django-q2: tasks run twice, results lost, the whole cluster frozen.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from typing import Any

import psycopg
import pytest

from apps.runs.machine import is_alive
from tests.support.panel import Panel, wait_for

pytestmark = [pytest.mark.database, pytest.mark.panel]

ASK = """
from django.db import transaction
from apps.access.actor import Actor, Door
from apps.runs.services import run_request
for _ in range({count}):
    with transaction.atomic():
        run = run_request(kind="trial", subject=None, actor=Actor(user=None, door=Door.COMMAND), cause="command",
                          params={params!r})
    print(run.pk)
"""


class Trials:
    """Trial runs in a real panel, looked at in its database: a command for each look would take its time."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel

    def ask(self, count: int = 1, **params: Any) -> list[int]:
        out = self.panel.python(ASK.format(count=count, params=params))
        return [int(line) for line in out.split()]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        url = self.panel.env["DEPLOYPANEL_DATABASE_URL"]
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=20)) as connection:
                return connection.execute(query).fetchall()
        with psycopg.connect(url) as connection:
            return connection.execute(query).fetchall()

    def states(self, ids: list[int]) -> set[str]:
        return {state for run_id, state in self.rows("SELECT id, state FROM runs_run") if run_id in ids}

    def output(self, run_id: int) -> str:
        query = f"SELECT text FROM runs_logchunk WHERE run_id = {run_id} AND stream = 'out' ORDER BY seq"
        return "".join(text for (text,) in self.rows(query))

    def wait(self, ids: list[int], *states: str, limit: float = 120) -> None:
        def otherwise() -> str:
            return f"{self.rows('SELECT id, state, summary FROM runs_run')}\n{self.panel.output()}"

        wait_for(lambda: self.states(ids) <= set(states), limit, otherwise)

    def wait_for_output(self, run_id: int, text: str, limit: float = 60) -> None:
        wait_for(lambda: text in self.output(run_id), limit, self.panel.output)


@pytest.fixture
def trials(panel_stopped: Panel) -> Trials:
    panel_stopped.env["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    return Trials(panel_stopped.start())


def kill(trials: Trials, victim: str) -> None:
    """End a part of the cluster as the kernel's out-of-memory killer would."""
    main = trials.panel.main("worker")
    if victim == "main":
        main.kill()
    elif victim == "sentinel":
        trials.panel.sentinel().kill()
    elif victim == "group":
        os.killpg(os.getpgid(main.pid), signal.SIGTERM)
    else:
        # Started in this order: the workers (idle now: all tasks are short), the monitor, the pusher.
        index = {"worker": 0, "monitor": -2, "pusher": -1}[victim]
        trials.panel.workers()[index].kill()


@pytest.mark.parametrize("victims", [("worker", "main", "sentinel"), ("monitor", "pusher", "group")])
def test_run_is_unharmed_by_the_end_of_the_queue_s(trials: Trials, victims: tuple[str, ...]) -> None:
    for victim in victims:
        go = trials.panel.data / f"go-{victim}"
        (run_id,) = trials.ask(do="shell", script=f"echo begun; while [ ! -e {go} ]; do sleep 0.1; done; echo done")
        # The panel has got over the one before by itself, whatever the queue had to be put through for it.
        trials.wait_for_output(run_id, "begun", limit=120)
        kill(trials, victim)
        time.sleep(1)
        go.touch()
        trials.wait([run_id], "succeeded")
        assert trials.output(run_id) == "begun\ndone\n"  # once, and whole
    trials.wait(trials.ask(do="nothing"), "succeeded")


def test_queue_killed_over_and_over_still_does_each_run_once(trials: Trials) -> None:
    path = trials.panel.data / "done"
    ids = trials.ask(6, do="shell", script=f"echo $DEPLOYPANEL_RUN >> {path}; sleep 1")
    for _ in range(3):
        time.sleep(0.5)
        trials.panel.main("worker").kill()
    trials.wait(ids, "succeeded", limit=120)
    done = sorted(int(line.partition(":")[0]) for line in path.read_text().split())
    assert done == sorted(ids)


def test_long_queue_is_worked_off_in_order_and_once(trials: Trials) -> None:
    """More runs than places, longer than a lease would like: none is begun twice."""
    path = trials.panel.data / "done"
    ids = trials.ask(20, do="shell", script=f"echo $DEPLOYPANEL_RUN >> {path}; sleep 0.5")
    trials.wait(ids, "succeeded", limit=180)
    done = [int(line.partition(":")[0]) for line in path.read_text().split()]
    assert sorted(done) == sorted(ids)


def test_settle_is_done_once_whatever_happens_to_the_queue(trials: Trials) -> None:
    path = trials.panel.data / "told"
    ids = trials.ask(3, do="nothing", tell=str(path))
    trials.wait(ids, "succeeded")
    wait_for(lambda: path.exists() and len(path.read_text().split("\n")) == 4)
    time.sleep(1)
    assert path.read_text() == "settle succeeded\n" * 3


def test_worker_killed_in_the_middle_of_a_settle_has_it_done_again(trials: Trials) -> None:
    panel = trials.panel
    told, gate = panel.data / "told", panel.data / "gate"
    waits = gate.with_suffix(".pid")
    (run_id,) = trials.ask(do="nothing", tell=str(told), settle_gate=str(gate))
    wait_for(lambda: waits.exists() and waits.read_text(), 60, panel.output)
    os.kill(int(waits.read_text()), signal.SIGKILL)
    gate.touch()
    # As if the minute were over after which a settle's worker is known to be dead.
    panel.python(
        "from datetime import timedelta; from django.db.models import F; from apps.runs.models import Run;"
        "ago = timedelta(seconds=120);"
        "Run.objects.update(ended_at=F('ended_at') - ago, settling_at=F('settling_at') - ago)"
    )
    query = "SELECT settle_attempts FROM runs_run WHERE settled_at IS NOT NULL"
    wait_for(lambda: trials.rows(query) == [(2,)], 60, panel.output)
    assert told.read_text() == "settle succeeded\n" * 2  # that which was cut off, and that which was done
    assert trials.states([run_id]) == {"succeeded"}


def test_panel_killed_in_the_middle_of_a_run_with_its_runner(trials: Trials) -> None:
    """A power cut: after the next start the run is lost within 30 s, its lock free, the next run starts."""
    panel = trials.panel
    told, pids = panel.data / "told", panel.data / "pids"
    (run_id,) = trials.ask(do="shell", script=f"echo $$ > {pids}; echo up; sleep 600", tell=str(told))
    trials.wait_for_output(run_id, "up")
    panel.kill()
    panel.start()
    trials.wait([run_id], "lost", limit=30)
    wait_for(lambda: told.exists() and "settle lost" in told.read_text(), 60, panel.output)
    assert told.read_text() == "clean_up lost\nsettle lost\n"
    wait_for(lambda: not is_alive(int(pids.read_text()), None))  # the clock kills it when the loss is known
    trials.wait(trials.ask(do="nothing"), "succeeded")


def test_panel_restarted_in_the_middle_of_a_run_lets_it_go_on(trials: Trials) -> None:
    panel = trials.panel
    go = panel.data / "go"
    (run_id,) = trials.ask(do="shell", script=f"echo begun; while [ ! -e {go} ]; do sleep 0.1; done; echo done")
    trials.wait_for_output(run_id, "begun")
    assert panel.stop() == 0
    panel.start()
    go.touch()
    trials.wait([run_id], "succeeded")
    assert trials.output(run_id) == "begun\ndone\n"
