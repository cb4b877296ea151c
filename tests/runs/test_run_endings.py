"""Each way in which a run can end, by a real runner process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from django.conf import settings

from apps.runs.machine import is_alive
from apps.runs.models import Run, Step
from tests.runs.conftest import Requester
from tests.support.runner import log_text, run_now, start_runner

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def test_run_that_works_succeeds(request_run: Requester) -> None:
    run = run_now(request_run("shell", params={"script": "echo hello; echo trouble >&2"}))
    assert run.state == "succeeded", log_text(run)
    assert log_text(run, stream="out") == "hello\n"
    assert log_text(run, stream="err") == "trouble\n"
    assert "$ sh -c" in log_text(run, stream="note")
    assert run.ended_at is not None
    assert run.started_at is not None
    assert not (settings.WORK_DIR / f"run-{run.pk}").exists()


def test_run_whose_script_fails_is_failed_with_a_hint(request_run: Requester) -> None:
    run = run_now(request_run("shell", params={"script": "exit 7"}))
    assert (run.state, run.summary) == ("failed", "The script ended with status 7.")
    assert "Look at the script." in log_text(run, stream="note")
    assert "Traceback" not in log_text(run)
    step = Step.objects.get(run=run)
    assert (step.state, step.exit_status) == ("failed", 7)


def test_run_with_a_bug_is_errored_with_its_traceback(request_run: Requester) -> None:
    run = run_now(request_run("bug"))
    assert (run.state, run.summary) == ("errored", "ZeroDivisionError: a bug of ours")
    notes = log_text(run, stream="note")
    assert "Traceback (most recent call last)" in notes
    assert str(settings.BASE_DIR) not in notes.replace(str(settings.BASE_DIR / ".venv"), "")
    step = Step.objects.get(run=run)
    assert (step.state, step.host, step.message) == ("failed", "web1", "a bug of ours")


def test_run_that_ends_with_text_no_database_takes_ends_truthfully(request_run: Requester) -> None:
    run = run_now(request_run("odd_text"))
    clean = "half? a NUL ********"
    assert (run.state, run.summary) == ("failed", clean), log_text(run)
    assert run.result == {"hosts": {clean: [clean, {"lines": [clean]}]}, "count": 3}
    step = Step.objects.get(run=run)
    assert (step.state, step.message) == ("failed", clean)


def test_run_given_bad_input_is_failed_without_traceback(request_run: Requester) -> None:
    run = run_now(request_run("bad_input"))
    assert (run.state, run.summary) == ("failed", "ref: no such branch")
    assert "Traceback" not in log_text(run)


def test_run_that_exits_the_interpreter_is_errored(request_run: Requester) -> None:
    run = run_now(request_run("exits"))
    assert (run.state, run.summary) == ("errored", "SystemExit: 3")


def test_run_refused_by_the_gate_before_it_began_is_failed_with_every_reason(request_run: Requester) -> None:
    run = run_now(request_run("shell", params={"script": "echo changed", "closed": "Closed at night."}))
    assert (run.state, run.summary) == ("failed", "Refused: Closed at night. Another reason.")
    assert log_text(run, stream="out") == ""


def test_run_of_a_kind_that_is_gone_is_errored(request_run: Requester) -> None:
    run = request_run()
    Run.objects.update(kind="forgotten")
    assert run_now(run).state == "errored"


def test_run_whose_kind_cannot_hear_ends_all_the_same(request_run: Requester) -> None:
    assert run_now(request_run("nothing", params={"broken_moved": True})).state == "succeeded"


def test_run_longer_than_its_limit_is_timed_out(request_run: Requester) -> None:
    run = run_now(request_run("shell", time_limit=4, params={"script": "while :; do echo x; sleep 0.1; done"}))
    assert (run.state, run.summary) == ("timed_out", "It took longer than its limit of 4 seconds.")
    assert Step.objects.get(run=run).state == "stopped"
    assert "SIGINT to sh" in log_text(run)


def test_run_silent_for_longer_than_its_limit_is_timed_out(request_run: Requester) -> None:
    run = run_now(request_run("shell", silence_limit=1, params={"script": "echo x; sleep 60"}))
    assert (run.state, run.summary) == ("timed_out", "Nothing was heard of it for 1 seconds.")


def test_run_that_talks_is_not_silent(request_run: Requester) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10; do printf .; sleep 0.6; done"
    run = run_now(request_run("shell", silence_limit=5, params={"script": script}))
    assert run.state == "succeeded"
    assert log_text(run, stream="out") == "..........\n"


def test_run_s_children_and_their_daemons_are_gone_with_it(request_run: Requester, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = (
        f"(setsid sh -c 'echo $$ >> {pids}; trap \"\" INT TERM HUP; sleep 600' >/dev/null 2>&1 &);"
        f"(nohup sh -c 'echo $$ >> {pids}; sleep 600' &);"
        f"until [ $(cat {pids} 2>/dev/null | wc -l) = 2 ]; do sleep 0.05; done; echo started"
    )
    began = time.monotonic()
    run = run_now(request_run("shell", params={"script": script}))
    assert run.state == "succeeded"
    assert time.monotonic() - began < 50
    assert "left running were killed" in log_text(run)
    assert len(pids.read_text().split()) == 2
    for pid in pids.read_text().split():
        assert not is_alive(int(pid), None)


def test_run_s_programs_see_the_marker_and_none_of_the_panel_s_secrets(request_run: Requester) -> None:
    run = run_now(request_run("shell", params={"script": "env"}), DEPLOYPANEL_MAIL_PASSWORD="pssst")
    names = {line.partition("=")[0] for line in log_text(run, stream="out").splitlines()}
    assert {name for name in names if name.startswith("DEPLOYPANEL")} == {"DEPLOYPANEL_RUN"}
    assert f"DEPLOYPANEL_RUN={run.pk}:{run.token}" in log_text(run, stream="out")
    assert "PATH" in names
    assert "pssst" not in log_text(run)


def test_run_s_secret_is_nowhere(request_run: Requester) -> None:
    script = "h=hunter; echo ${h}2${h}2; printf ${h}2 >&2; sleep 0.3; echo ${h}2 >&2; echo hunter2hunter2"
    run = run_now(request_run("shell", params={"script": script, "secrets": ["hunter2hunter2"]}))
    assert "hunter2" not in log_text(run)
    assert log_text(run, stream="out") == "********\n********\n"
    assert log_text(run, stream="err") == "********\n"


def test_run_s_steps_and_result_are_kept(request_run: Requester) -> None:
    run = run_now(request_run("steps"))
    assert (run.state, run.summary) == ("succeeded", "It went well.")
    assert run.result == {"copied": 2, "switched": 1}
    cells = {(step.stage, step.host): (step.state, step.message) for step in Step.objects.filter(run=run)}
    assert cells == {
        ("one", ""): ("pending", ""),
        ("one", "web1"): ("succeeded", "good"),
        ("one", "web2"): ("skipped", "not needed"),
        ("two", ""): ("pending", ""),
        ("two", "web1"): ("failed", "went wrong"),
        ("two", "web2"): ("pending", ""),
    }
    assert run.steps_version > 0


def test_second_runner_of_a_run_does_nothing(request_run: Requester) -> None:
    run = request_run("shell", params={"script": "sleep 1; echo once"})
    runners = [start_runner(run) for _ in range(3)]
    assert [runner.wait(60) for runner in runners] == [0, 0, 0]
    run.refresh_from_db()
    assert run.state == "succeeded"
    assert log_text(run, stream="out") == "once\n"
    run_now(run)
    assert log_text(run, stream="out") == "once\n"
