"""A cluster that lives and takes no tasks is noticed and started anew; each is a way django-q2 freezes."""

from __future__ import annotations

import os
import subprocess
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import Error, InterfaceError, OperationalError
from django.utils import timezone
from django_q.models import OrmQ

from apps.runs import busy
from apps.runs.machine import MARKER, boot_id, machine_name
from apps.runs.models import Run
from apps.runs.queue import ring
from deploypanel import watchdog
from deploypanel.watchdog import Watchdog, verdict
from tests.support.panel import Panel, is_alive, wait_for

pytestmark = [pytest.mark.database]
NOW = timezone.now()
LONG_AGO = NOW - timedelta(hours=1)


def put(*, lock: datetime, timeout: int = 5) -> None:
    ring("apps.runs.beats.worker_beat", timeout=timeout)
    OrmQ.objects.filter(pk=OrmQ.objects.latest("pk").pk).update(lock=lock)


@pytest.fixture
def one_of_two_busy(settings: object) -> None:
    settings.WORKERS = 2  # type: ignore[attr-defined]
    busy.folder().mkdir(parents=True)
    (busy.folder() / str(os.getpid())).touch()


@pytest.mark.django_db
def test_a_task_that_waits_while_a_worker_is_idle_means_frozen(one_of_two_busy: None) -> None:
    put(lock=NOW - timedelta(seconds=11))
    assert verdict(LONG_AGO, NOW) == "a task has waited for 11 s though a worker is idle"


@pytest.mark.django_db
def test_a_task_that_waits_for_busy_workers_is_just_waiting(one_of_two_busy: None, settings: object) -> None:
    settings.WORKERS = 1  # type: ignore[attr-defined]
    put(lock=NOW - timedelta(minutes=2))
    assert verdict(LONG_AGO, NOW) == ""


@pytest.mark.django_db
def test_a_busy_file_of_a_dead_process_does_not_count(one_of_two_busy: None, settings: object) -> None:
    settings.WORKERS = 1  # type: ignore[attr-defined]
    (busy.folder() / str(os.getpid())).rename(busy.folder() / "999999999")
    put(lock=NOW - timedelta(minutes=2))
    assert verdict(LONG_AGO, NOW) != ""
    assert list(busy.folder().iterdir()) == []


@pytest.mark.django_db
def test_a_new_cluster_is_given_time_for_what_has_piled_up() -> None:
    put(lock=LONG_AGO)
    assert verdict(NOW - timedelta(seconds=5), NOW) == ""


@pytest.mark.django_db
def test_tasks_that_end_and_stay_on_the_queue_mean_frozen() -> None:
    taken = NOW - timedelta(seconds=15)
    put(lock=taken + timedelta(seconds=5 + 30), timeout=5)
    assert verdict(LONG_AGO, NOW) == "1 finished tasks were not taken off the queue"
    assert verdict(NOW - timedelta(seconds=14), NOW) == "", "another cluster took it, that is gone"


@pytest.mark.django_db
def test_tasks_within_their_limit_are_left_alone() -> None:
    taken = NOW - timedelta(seconds=15)
    put(lock=taken + timedelta(seconds=20 + 30), timeout=20)
    assert verdict(LONG_AGO, NOW) == ""


def lost_run(**values: str) -> Run:
    """A run that some clock has declared lost."""
    given: dict[str, Any] = {
        "machine": machine_name(),
        "boot_id": boot_id(),
        "token": "t0ken",
        "state": "lost",
    } | values
    limits = {"time_limit": 60, "silence_limit": 60}
    ended = timezone.now()  # and not NOW: a long session imports this file minutes before
    return Run.objects.create(kind="deploy", cause="person", ended_at=ended, **limits, **given)


@pytest.mark.django_db
def test_what_lost_runs_left_on_this_machine_is_ended_without_a_clock() -> None:
    here, elsewhere = lost_run(), lost_run(machine="elsewhere")
    left, other = (
        subprocess.Popen(["sleep", "600"], env=os.environ | {MARKER: f"{run.pk}:t0ken"}) for run in (here, elsewhere)
    )
    try:
        Watchdog(lambda: None).look()
        left.wait(30)
        assert other.poll() is None
    finally:
        for process in (left, other):
            process.kill()
            process.wait()


@pytest.mark.django_db
@pytest.mark.parametrize("fault", [OperationalError, InterfaceError])
def test_a_database_that_is_away_ends_nothing(
    fault: type[Error], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object) -> str:
        raise fault("the server is gone")

    monkeypatch.setattr(watchdog.connections, "close_all", lambda: None)  # the test's own connection stays
    dog = Watchdog(lambda: LONG_AGO)
    with monkeypatch.context() as patch:
        patch.setattr(watchdog, "verdict", away)
        dog.look()
        dog.look()
    with monkeypatch.context() as patch:
        patch.setattr(watchdog, "runs_leftovers_kill", away)
        dog.look()
    assert [record.getMessage() for record in caplog.records] == [
        "The watchdog cannot read the database: the server is gone"
    ]
    put(lock=LONG_AGO)
    dog.look()
    assert dog.take_reason() == "", "one look may be chance"
    dog.look()
    assert "has waited" in dog.take_reason()
    assert dog.take_reason() == ""


@pytest.mark.panel
def test_an_idle_worker_that_is_killed_does_not_freeze_the_panel(panel: Panel) -> None:
    main = panel.main("worker")
    workers = panel.workers()[: settings.WORKERS]
    at_work = panel.data / "busy"
    wait_for(lambda: not any(path.is_file() for path in at_work.rglob("*")), 30, panel.output)
    for worker in workers:  # one of those that are idle holds the queue's lock, nobody can say which
        worker.kill()
    wait_for(lambda: not is_alive(main), 90, panel.output)
    assert "cluster is frozen" in panel.output()
    panel.wait_healthy()


def test_a_look_that_fails_does_not_end_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 2:
            raise SystemExit
        raise RuntimeError("a bug")

    monkeypatch.setattr(watchdog, "INTERVAL", 0.01)
    dog = Watchdog(lambda: None)
    monkeypatch.setattr(dog, "look", look)
    with pytest.raises(SystemExit):
        dog.run()
    assert len(looks) == 2
