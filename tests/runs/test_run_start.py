"""From the queue to a runner: places on this machine, double delivery, real processes."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.runs import process, tasks
from apps.runs.models import Run
from apps.runs.services import run_claim, run_start
from apps.runs.services import start as start_module
from tests.runs.conftest import Requester
from tests.support.runner import child_environment, log_text, wait_for_state

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The runs for which a runner would have been started."""
    runs: list[int] = []
    monkeypatch.setattr(start_module, "spawn_detached", lambda argv, **_: runs.append(int(argv[-1])) or 1)
    return runs


def test_start_spawns_a_runner_that_carries_the_run_out(
    request_run: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", child_environment())
    run = request_run("shell", params={"script": "ps -o sid= -p $$; echo $PPID"})
    tasks.start(run.pk)
    wait_for_state(run)
    assert run.state == "succeeded", log_text(run)
    session, parent = log_text(run, stream="out").split()
    assert session == parent == str(run.pid)  # a session of the runner's own, and not this process's
    assert int(session) != os.getsid(0)


def test_start_delivered_twice_spawns_one(request_run: Requester, spawned: list[int]) -> None:
    run = request_run()
    run_start(run_id=run.pk)
    run_start(run_id=run.pk)
    assert spawned == [run.pk]


def test_start_is_tried_again_when_the_runner_never_claimed(request_run: Requester, spawned: list[int]) -> None:
    run = request_run()
    run_start(run_id=run.pk)
    Run.objects.update(spawned_at=timezone.now() - timedelta(seconds=20))
    run_start(run_id=run.pk)
    assert spawned == [run.pk, run.pk]


def test_start_gives_up_when_no_runner_ever_claims(request_run: Requester, spawned: list[int]) -> None:
    run = request_run()
    for _ in range(start_module.SPAWNS):
        run_start(run_id=run.pk)
        run_start(run_id=run.pk)  # too early
        run.refresh_from_db()
        assert run.state == "queued"
        Run.objects.update(spawned_at=timezone.now() - timedelta(seconds=20))
    run_start(run_id=run.pk)
    run.refresh_from_db()
    assert spawned == [run.pk] * start_module.SPAWNS
    assert run.state == "failed"
    assert "logs/runners.log on " in run.summary
    assert run.summary in log_text(run)
    request_run()  # and its subject is free


def test_start_of_a_run_that_is_not_queued_does_nothing(request_run: Requester, spawned: list[int]) -> None:
    run = request_run()
    run_claim(run_id=run.pk)
    run_start(run_id=run.pk)
    run_start(run_id=999_999)
    assert spawned == []


def test_start_leaves_runs_queued_when_all_places_are_taken(
    request_run: Requester, spawned: list[int], settings: object
) -> None:
    settings.RUNS_PARALLEL = 3  # type: ignore[attr-defined]
    runs = [request_run(subject=None) for _ in range(6)]
    run_claim(run_id=runs[0].pk)
    for run in runs[1:]:
        run_start(run_id=run.pk)
    assert spawned == [runs[1].pk, runs[2].pk]
    Run.objects.filter(pk=runs[0].pk).update(state="succeeded")
    run_start(run_id=runs[3].pk)
    run_start(run_id=runs[4].pk)
    assert spawned == [runs[1].pk, runs[2].pk, runs[3].pk]


def test_start_keeps_a_place_for_exclusive_runs(request_run: Requester, spawned: list[int], settings: object) -> None:
    settings.RUNS_PARALLEL = 3  # type: ignore[attr-defined]
    shared = [request_run(exclusive=False) for _ in range(3)]
    deployment = request_run()
    for run in (*shared, deployment):
        run_start(run_id=run.pk)
    assert spawned == [shared[0].pk, shared[1].pk, deployment.pk]


def test_start_of_a_shared_run_where_there_is_one_place(
    request_run: Requester, spawned: list[int], settings: object
) -> None:
    settings.RUNS_PARALLEL = 1  # type: ignore[attr-defined]
    run = request_run(exclusive=False)
    run_start(run_id=run.pk)
    assert spawned == [run.pk]


def test_start_counts_this_machine_s_runs_only(request_run: Requester, spawned: list[int], settings: object) -> None:
    settings.RUNS_PARALLEL = 1  # type: ignore[attr-defined]
    elsewhere = request_run(subject=None)
    run_claim(run_id=elsewhere.pk)
    Run.objects.update(machine="elsewhere")
    run = request_run(subject=None)
    run_start(run_id=run.pk)
    assert spawned == [run.pk]


def test_runners_own_log_is_begun_anew_when_it_is_long(data_folder: object, request_run: Requester) -> None:
    path = start_module._runner_log()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * (start_module.LOG_SIZE + 1))
    process.spawn_detached(["true"], env=process.environment(), log=start_module._runner_log())
    assert path.stat().st_size == 0
    assert path.with_suffix(".log.1").exists()
