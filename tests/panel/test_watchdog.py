"""A cluster that lives and takes no tasks is noticed and started anew; each is a way django-q2 freezes."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from apps.runs import busy
from apps.runs.queue import ring
from deploypanel.watchdog import verdict
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


@pytest.mark.panel
def test_an_idle_worker_that_is_killed_does_not_freeze_the_panel(panel: Panel) -> None:
    main = panel.main("worker")
    for worker in panel.workers()[:2]:
        worker.kill()
    wait_for(lambda: not is_alive(main), 40, panel.output)
    assert "cluster is frozen" in panel.output()
    panel.wait_healthy(20)
