"""Stop works in every phase of a run, and tells what it did."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.actor import Actor, Door
from apps.access.errors import Conflict, Refused
from apps.access.levels import Level
from apps.access.models import AuditEntry
from apps.runs.machine import is_alive
from apps.runs.models import LogChunk, Run, Step
from apps.runs.services import run_claim, run_stop
from tests.runs.conftest import Requester
from tests.support.cast import grant
from tests.support.runner import OPERATOR, log_text, runner_of, wait_for_state, wait_until

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def test_stop_of_a_waiting_run_ends_it_at_once(request_run: Requester) -> None:
    run = request_run(not_before=timezone.now() + timedelta(hours=1))
    stopped = run_stop(run=run, actor=OPERATOR)
    assert (stopped.state, stopped.summary) == ("stopped", "Stopped by operator before it began.")
    assert stopped.ended_at is not None
    assert stopped.stop_requested_by == "operator"


def test_stop_of_a_queued_run_ends_it_and_nobody_can_claim_it(request_run: Requester) -> None:
    run = request_run()
    assert run_stop(run=run, actor=OPERATOR).state == "stopped"
    assert run_claim(run_id=run.pk) is None
    assert log_text(run) == "Stopped by operator before it began.\n"
    assert request_run().state == "queued"  # the lock is free


def test_stop_of_an_ended_run_is_a_conflict(request_run: Requester) -> None:
    run = request_run()
    run_stop(run=run, actor=OPERATOR)
    with pytest.raises(Conflict, match="has ended already: stopped"):
        run_stop(run=run, actor=OPERATOR)


def test_stop_twice_is_the_same_as_once(request_run: Requester) -> None:
    run = request_run()
    run_claim(run_id=run.pk)
    first = run_stop(run=run, actor=OPERATOR)
    second = run_stop(run=run, actor=OPERATOR)
    assert (first.state, second.state) == ("stopping", "stopping")
    assert first.stop_requested_at == second.stop_requested_at


def test_stop_of_a_running_script_interrupts_it(request_run: Requester) -> None:
    script = "trap 'echo tidied; exit 0' INT; echo up; while :; do sleep 0.1; done"
    run = request_run("shell", params={"script": script, "grace": 30.0})
    with runner_of(run) as runner:
        wait_until(lambda: "up" in log_text(run, stream="out"))
        began = time.monotonic()
        run_stop(run=run, actor=OPERATOR)
        wait_for_state(run)
        assert time.monotonic() - began < 20
        assert runner.wait(30) == 0
    assert (run.state, run.summary) == ("stopped", "Stopped by operator.")
    assert "tidied" in log_text(run)
    assert "SIGINT to sh" in log_text(run)
    assert "SIGTERM" not in log_text(run)
    assert Step.objects.get(run=run).state == "stopped"


def test_stop_of_a_stubborn_script_escalates_to_kill(request_run: Requester, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    # The shell and its child ignore all that can be ignored.
    script = (
        f"trap '' INT TERM HUP; echo $$ > {pids}; sh -c 'echo $$ >> {pids}; echo up; while :; do sleep 1; done' & wait"
    )
    run = request_run("shell", params={"script": script, "grace": 1.0})
    with runner_of(run) as runner:
        wait_until(lambda: "up" in log_text(run, stream="out"))
        run_stop(run=run, actor=OPERATOR)
        wait_for_state(run)
        assert runner.wait(30) == 0
    notes = log_text(run, stream="note")
    assert run.state == "stopped"
    assert "is ended by force" not in notes
    assert notes.index("SIGINT") < notes.index("SIGTERM") < notes.index("SIGKILL")
    assert len(pids.read_text().split()) == 2
    assert not any(is_alive(int(pid), None) for pid in pids.read_text().split())


def test_stop_of_work_that_does_not_look_is_by_force(request_run: Requester) -> None:
    run = request_run("hangs")
    with runner_of(run) as runner:
        wait_for_state(run, "running")
        wait_until(lambda: Step.objects.filter(run=run, state="running").exists())
        began = time.monotonic()
        run_stop(run=run, actor=OPERATOR)
        wait_for_state(run, seconds=60)
        assert time.monotonic() - began < 30
        runner.wait(30)
    assert (run.state, run.summary) == ("stopped", "Stopped by operator.")
    assert "is ended by force" in log_text(run)
    assert Step.objects.get(run=run).state == "stopped"


def test_stop_calls_what_the_work_waits_in(request_run: Requester) -> None:
    run = request_run("callback")
    with runner_of(run):
        wait_until(lambda: Step.objects.filter(run=run, state="running").exists())
        run_stop(run=run, actor=OPERATOR)
        wait_for_state(run)
    # The OSError that followed is no bug: it was told to end.
    assert run.state == "stopped"
    assert "called: Stopped by operator." in log_text(run)
    assert "Traceback" not in log_text(run)


def test_stop_ends_a_command_whose_output_is_awaited(request_run: Requester) -> None:
    run = request_run("captures")
    with runner_of(run):
        wait_until(lambda: Step.objects.filter(run=run, state="running").exists())
        began = time.monotonic()
        run_stop(run=run, actor=OPERATOR)
        wait_for_state(run)
        assert time.monotonic() - began < 15
    assert run.state == "stopped"
    assert log_text(run, stream="out") == "tidied\n"
    assert "by force" not in log_text(run)


@pytest.mark.parametrize("do", ["shell", "silent"])
def test_sigterm_of_the_runner_is_a_stop_by_the_system(request_run: Requester, do: str) -> None:
    run = request_run(do, params={"script": "echo up; sleep 600"})
    with runner_of(run) as runner:
        wait_until(lambda: Step.objects.filter(run=run, state="running").exists())
        runner.terminate()
        wait_for_state(run)
        assert runner.wait(30) == 0
    assert (run.state, run.stop_requested_by) == ("stopped", "the system")
    assert "SIGTERM" in run.summary


def test_stop_needs_the_right_to_act(
    request_run: Requester, teammate: User, outsider: User, owner: User, subject: object
) -> None:
    run = request_run()
    grant(teammate, run.subject, Level.VIEW)
    for user in (outsider, teammate):
        with pytest.raises(Refused):
            run_stop(run=run, actor=Actor(user=user, door=Door.ADMIN))
    assert Run.objects.get().state == "queued"
    grant(teammate, run.subject, Level.IN_HOURS)
    assert run_stop(run=run, actor=Actor(user=teammate, door=Door.ADMIN)).state == "stopped"
    rows = list(AuditEntry.objects.filter(action="stop").order_by("pk").values_list("actor", "allowed"))
    assert rows == [("outsider", False), ("teammate", False), ("teammate", True)]


def test_stop_of_a_run_without_subject_needs_who_asked_or_an_administrator(
    request_run: Requester, teammate: User, outsider: User, owner: User
) -> None:
    mine = request_run(subject=None, actor=Actor(user=teammate, door=Door.ADMIN))
    other = request_run(subject=None, actor=Actor(user=teammate, door=Door.ADMIN))
    with pytest.raises(Refused, match="only an administrator"):
        run_stop(run=mine, actor=Actor(user=outsider, door=Door.ADMIN))
    assert run_stop(run=mine, actor=Actor(user=teammate, door=Door.ADMIN)).state == "stopped"
    assert run_stop(run=other, actor=Actor(user=owner, door=Door.ADMIN)).state == "stopped"
    assert LogChunk.objects.count() == 2
