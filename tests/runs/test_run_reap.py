"""A runner that is killed: its run is lost within seconds, nothing of it is left, and the next begins."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone
from django_q.models import OrmQ

from apps.runs.machine import is_alive, kill_leftovers, leftovers, machine_name
from apps.runs.models import Run, Step
from apps.runs.services import run_claim, runs_reap
from apps.runs.services.reap import Watch
from tests.runs.conftest import Requester
from tests.support.runner import log_text, run_now, runner_of, wait_for_state, wait_until

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

NOW = timezone.now
LOST_AFTER = timedelta(seconds=settings.RUN_LOST_AFTER)


def long_watch() -> Watch:
    """As of a clock that has looked for an hour."""
    watch = Watch()
    watch.look(NOW() - timedelta(hours=1))
    watch._last = NOW() + timedelta(hours=1)
    return watch


def test_killed_runner_s_run_is_lost_and_nothing_of_it_is_left(request_run: Requester, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = (
        f"echo $$ > {pids}; trap '' INT TERM HUP;"
        # One that left its group and session, and one that dropped its environment.
        f"setsid sh -c 'echo $$ >> {pids}; sleep 600' & env -i sh -c 'echo $$ >> {pids}; sleep 600 & wait' & "
        f"until [ $(wc -l < {pids}) = 3 ]; do sleep 0.05; done; echo up; wait"
    )
    run = request_run("shell", params={"script": script})
    with runner_of(run) as runner:
        wait_until(lambda: "up" in log_text(run))
        assert runs_reap(NOW()) == 0
        runner.send_signal(signal.SIGKILL)
        runner.wait()
        everyone = [int(pid) for pid in pids.read_text().split()]
        assert len(everyone) == 3
        assert all(is_alive(pid, None) for pid in everyone)
        OrmQ.objects.all().delete()
        assert runs_reap(NOW()) == 1
    run.refresh_from_db()
    assert (run.state, run.summary) == ("lost", "Its runner was killed. How far it came is not known.")
    assert not any(is_alive(pid, None) for pid in everyone)
    assert Step.objects.get(run=run).state == "failed"
    assert not (settings.WORK_DIR / f"run-{run.pk}").exists()
    assert log_text(run).endswith("Lost: Its runner was killed. How far it came is not known.\n")
    assert [row.func() for row in OrmQ.objects.all()] == ["apps.runs.tasks.clean_up"]
    assert run_now(request_run()).state == "succeeded"
    assert runs_reap(NOW()) == 0


def test_runner_of_before_the_reboot_is_lost_at_once(request_run: Requester) -> None:
    run = request_run()
    run_claim(run_id=run.pk)
    Run.objects.update(boot_id="another")
    assert runs_reap(NOW()) == 1
    run.refresh_from_db()
    assert run.state == "lost"
    assert "restarted" in run.summary


def test_silent_runner_of_another_machine_is_lost_after_a_while(request_run: Requester) -> None:
    run = request_run()
    run_claim(run_id=run.pk)
    now = NOW()
    Run.objects.update(machine="elsewhere", heartbeat_at=now - LOST_AFTER + timedelta(seconds=1))
    assert runs_reap(now, long_watch()) == 0
    Run.objects.update(heartbeat_at=now - LOST_AFTER - timedelta(seconds=1))
    assert runs_reap(now, long_watch()) == 1
    run.refresh_from_db()
    assert "elsewhere was not heard of" in run.summary


def test_runs_get_time_to_be_heard_when_nobody_could_look(request_run: Requester) -> None:
    """After an outage of the database all were silent; the clock must not end them for that."""
    run = request_run()
    run_claim(run_id=run.pk)
    Run.objects.update(machine="elsewhere", heartbeat_at=NOW() - timedelta(hours=1))
    watch = Watch()
    began = NOW()
    for second in range(settings.RUN_LOST_AFTER + 1):
        assert runs_reap(began + timedelta(seconds=second), watch) == 0
    assert runs_reap(began + LOST_AFTER + timedelta(seconds=2), watch) == 1


def test_hung_runner_of_this_machine_is_lost_and_killed(request_run: Requester) -> None:
    run = request_run("silent")
    with runner_of(run) as runner:
        wait_until(lambda: Step.objects.filter(run=run, state="running").exists())
        runner.send_signal(signal.SIGSTOP)
        later = NOW() + LOST_AFTER + timedelta(seconds=5)
        assert runs_reap(later, long_watch()) == 1
        wait_until(lambda: not is_alive(runner.pid, None))
    run.refresh_from_db()
    assert run.state == "lost"


def test_runner_that_was_declared_lost_vanishes_and_writes_nothing(request_run: Requester, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    run = request_run("shell", params={"script": f"echo $$ > {pids}; while :; do echo x; sleep 0.1; done"})
    with runner_of(run) as runner:
        wait_until(lambda: "x" in log_text(run, stream="out"))
        # As another machine's clock would do it, which cannot kill anything here.
        # It beats meanwhile: the clock is one for which even a beat of this moment is an hour old.
        Run.objects.update(machine="elsewhere")
        assert runs_reap(NOW() + timedelta(hours=1), long_watch()) == 1
        text = log_text(run)
        assert runner.wait(30) == 70
    run.refresh_from_db()
    assert run.state == "lost"
    assert log_text(run) == text
    assert not is_alive(int(pids.read_text()), None)


def test_stop_of_a_run_that_then_is_lost_ends_lost(request_run: Requester) -> None:
    run = request_run("shell", params={"script": "sleep 600"})
    with runner_of(run) as runner:
        wait_for_state(run, "running")
        runner.kill()
        runner.wait()
        Run.objects.update(state="stopping")  # asked for in its last moment; alive, it might have stopped in time
        assert runs_reap(NOW()) == 1
    run.refresh_from_db()
    assert run.state == "lost"


def test_leftovers_of_others_are_left_alone() -> None:
    assert leftovers("1:nobody") == []
    assert kill_leftovers("1:nobody", session=1, since=0.0) == 0  # given out to another since
    assert machine_name()
