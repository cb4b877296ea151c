"""`manage.py runs`: for people and for scripts, with its exit statuses."""

from __future__ import annotations

import json
import time
from io import StringIO
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from apps.access.actor import Actor, Door
from apps.access.levels import Level
from apps.runs import follow
from apps.runs.models import Run
from apps.runs.services import run_claim, run_move
from apps.runs.states import RunState
from tests.runs.conftest import Requester
from tests.support.cast import grant
from tests.support.runner import OPERATOR, run_now, runner_of, wait_until

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def runs(*arguments: object) -> tuple[int, str, str]:
    """Exit status, output and error output of `manage.py runs …`."""
    out, err, status = StringIO(), StringIO(), 0
    try:
        call_command("runs", *map(str, arguments), stdout=out, stderr=err)
    except SystemExit as error:
        status = int(error.code or 0)
    return status, out.getvalue(), err.getvalue()


def ended(request_run: Requester, state: RunState) -> Run:
    run = request_run()
    run_claim(run_id=run.pk)
    run_move(run_id=run.pk, to=state, summary="That is why.")
    return run


def test_list_json_is_newest_first_with_what_scripts_need(request_run: Requester, owner: User) -> None:
    first = ended(request_run, RunState.FAILED)
    second = request_run(actor=Actor(user=owner, door=Door.ADMIN))
    status, out, _ = runs("list", "--json")
    rows = json.loads(out)
    assert status == 0
    assert [row["id"] for row in rows] == [second.pk, first.pk]
    assert {key: rows[0][key] for key in ("kind", "subject", "state", "cause", "requested_by", "ended_at")} == {
        "kind": "trial",
        "subject": "shop/prod",
        "state": "queued",
        "cause": "command",
        "requested_by": "owner",
        "ended_at": None,
    }
    assert rows[1]["started_at"] < rows[1]["ended_at"]


def test_list_can_be_narrowed(request_run: Requester) -> None:
    ended(request_run, RunState.FAILED)
    run = ended(request_run, RunState.SUCCEEDED)
    assert len(json.loads(runs("list", "--json", "--limit", 1)[1])) == 1
    assert [row["id"] for row in json.loads(runs("list", "--json", "--state", "succeeded")[1])] == [run.pk]
    assert len(json.loads(runs("list", "--json", "--subject", "shop/prod")[1])) == 2
    status, _, err = runs("list", "--subject", "shop/nonesuch")
    assert status == 2
    assert "shop/nonesuch" in err
    assert runs("list", "--limit", 0)[0] == 2


def test_list_as_a_person_shows_what_they_may_see(request_run: Requester, teammate: User, outsider: User) -> None:
    run = request_run()
    grant(teammate, run.subject, Level.VIEW)
    assert len(json.loads(runs("list", "--json", "--as", "teammate")[1])) == 1
    assert json.loads(runs("list", "--json", "--as", "outsider")[1]) == []
    assert f"#{run.pk}" in runs("list")[1]
    for act in ("show", "follow", "stop"):
        status, _, err = runs(act, run.pk, "--as", "outsider")
        assert (status, err.strip()) == (2, f"There is no run #{run.pk}.")
    assert runs("list", "--as", "nobody-of-that-name")[0] == 2


@pytest.mark.parametrize("act", ["show", "follow", "stop"])
def test_unknown_run_is_bad_usage(db: None, act: str) -> None:
    assert runs(act, 999_999)[0] == 2


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (RunState.SUCCEEDED, 0),
        (RunState.FAILED, 1),
        (RunState.ERRORED, 1),
        (RunState.TIMED_OUT, 1),
        (RunState.STOPPED, 4),
        (RunState.LOST, 4),
    ],
)
def test_follow_exits_as_the_run_ended(request_run: Requester, state: RunState, status: int) -> None:
    assert runs("follow", ended(request_run, state).pk)[0] == status


def test_follow_says_every_line_until_the_end(request_run: Requester) -> None:
    run = request_run("shell", params={"script": "for i in 1 2 3; do echo line $i; sleep 0.1; done; exit 1"})
    with runner_of(run):
        status, out, _ = runs("follow", run.pk)
    assert status == 1
    lines = out.splitlines()
    assert [line for line in lines if line.startswith("line")] == ["line 1", "line 2", "line 3"]
    assert "failed after" in lines[-1]


def test_follow_wonders_once_about_a_run_that_stays_queued(
    request_run: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "HINT_AFTER", 0.05)
    run = request_run()
    said: list[str] = []
    looks = iter(range(6))

    def pause(_: float) -> None:
        time.sleep(0.03)
        if next(looks) == 5:
            run_now(run)

    monkeypatch.setattr(follow, "time", SimpleNamespace(sleep=pause, monotonic=time.monotonic))
    assert follow.follow(run.pk, said.append) == 0
    assert said[0] == "Still queued: are the workers running? manage.py doctor tells."
    assert sum("Still queued" in line for line in said) == 1
    said.clear()
    follow.follow(run.pk, said.append)
    assert not any("Still queued" in line for line in said)


def test_show_tells_the_run_and_its_log(request_run: Requester) -> None:
    run = run_now(request_run("steps"))
    out = runs("show", run.pk)[1]
    assert f"Run #{run.pk}: trial of shop/prod, succeeded. It went well." in out
    shown = json.loads(runs("show", run.pk, "--json")[1])
    assert (shown["result"], shown["state"]) == ({"copied": 2, "switched": 1}, "succeeded")


def test_stop_of_a_running_run_from_the_shell(request_run: Requester) -> None:
    run = request_run("silent")
    with runner_of(run):
        wait_until(lambda: Run.objects.get().state == "running")
        assert runs("stop", run.pk)[:2] == (0, f"Run #{run.pk}: stopping.\n")
        assert runs("follow", run.pk)[0] == 4
    run.refresh_from_db()
    assert run.stop_requested_by == OPERATOR.name
    status, _, err = runs("stop", run.pk)
    assert status == 3
    assert "has ended already: stopped" in err
