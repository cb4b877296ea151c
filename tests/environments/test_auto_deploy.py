"""A push becomes a deployment; ten pushes during one become exactly one more, with the newest commit."""

from __future__ import annotations

import datetime as dt
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from apps.access.actor import Actor, Door
from apps.access.levels import Level
from apps.access.models import BusinessHours, Freeze
from apps.access.services import grant_set
from apps.environments.models import Deployment, Environment, Host
from apps.environments.services import PushOutcome, auto_deploy_push, auto_pause
from apps.runs.kinds import kind_named
from apps.runs.models import Run
from apps.runs.services import run_advance_waiting, run_move, run_settle, run_stop
from apps.runs.states import RunState
from tests.support.runner import run_now, runner_of, wait_for_state
from tests.support.site import OPERATOR, Build, Site, explain, script_until

pytestmark = pytest.mark.database


@pytest.fixture
def shop(site: Build, request: pytest.FixtureRequest) -> Site:
    """One that deploys each push, as `auto`, who holds the right to."""
    built = site(1, method="symlink", auto_deploy=True)
    auto = User.objects.create_user("auto")
    Environment.objects.update(deploy_as=auto)
    built.environment.refresh_from_db()
    grant_set(actor=OPERATOR, subject=built.environment, holder=auto, level=Level.IN_HOURS)
    return built


def push(shop: Site, commit: str, branch: str = "main") -> PushOutcome:
    [outcome] = auto_deploy_push(repository=shop.repository, branch=branch, commit=commit, pusher="developer")
    return outcome


def closed_now() -> dict[str, Any]:
    """Weekly windows of a calendar that opens in about two hours."""
    start = (timezone.now() + dt.timedelta(hours=2)).replace(minute=0)
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[start.weekday()]
    return {day: f"{start:%H}:00-{start:%H}:59"}


def test_push_deploys_as_the_named_user(shop: Site) -> None:
    outcome = push(shop, shop.repo.shas[0])
    assert outcome.run is not None
    assert outcome.text == f"run #{outcome.run.pk} started"
    run = run_now(outcome.run)
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert (run.requested_name, run.cause, run.params["behind"]) == ("auto", "push", "developer")
    run_settle(run_id=run.pk)
    assert Run.objects.count() == 1
    assert Environment.objects.get().wanted_commit == ""


def test_ten_pushes_during_a_run_become_one_more(shop: Site, tmp_path: Path) -> None:
    shop.repo.commit({"predeploy.sh": script_until(tmp_path / "pushed")})
    first = push(shop, shop.repo.shas[-1]).run
    assert first is not None
    with runner_of(first) as process:
        wait_for_state(first, RunState.RUNNING)
        for number in range(10):
            outcome = push(shop, shop.repo.commit({"index.html": f"{number}\n"}))
            assert outcome.run is None
            assert f"follows run #{first.pk}" in outcome.text
        (tmp_path / "pushed").touch()
        process.wait(60)
    run_settle(run_id=first.pk)
    run_settle(run_id=first.pk)
    second = Run.objects.exclude(pk=first.pk).get()
    assert run_now(second).state == RunState.SUCCEEDED, explain(second)
    assert shop.files(0)["index.html"] == "9\n"
    run_settle(run_id=second.pk)
    assert Run.objects.count() == 2


def test_a_failed_commit_is_not_tried_again_by_itself(shop: Site) -> None:
    sha = shop.repo.commit({"predeploy.sh": "#!/bin/sh\nexit 1\n"})
    run = push(shop, sha).run
    assert run is not None
    assert run_now(run).state == RunState.FAILED
    run_settle(run_id=run.pk)
    assert Run.objects.count() == 1


def test_an_older_commit_deployed_by_hand_stays(shop: Site) -> None:
    newest = shop.repo.commit({"index.html": "two\n"})
    run = push(shop, newest).run
    assert run is not None
    run_now(run)
    run_settle(run_id=run.pk)
    by_hand = shop.deploy(commit=shop.repo.shas[0])
    assert by_hand.state == RunState.SUCCEEDED, explain(by_hand)
    run_settle(run_id=by_hand.pk)
    assert Run.objects.count() == 2
    assert shop.files(0)["index.html"] == "one\n"


def test_other_branches_and_environments_without_auto_deploy_are_left_alone(shop: Site) -> None:
    assert auto_deploy_push(repository=shop.repository, branch="feature/x", commit="a" * 40) == []
    Environment.objects.update(auto_deploy=False)
    assert auto_deploy_push(repository=shop.repository, branch="main", commit="a" * 40) == []


def test_paused(shop: Site) -> None:
    auto_pause(environment=shop.environment, actor=OPERATOR, reason="inventory")
    outcome = push(shop, shop.repo.shas[0])
    assert (outcome.run, outcome.text) == (None, "automatic deployment is paused: inventory")


def test_without_the_right_nothing_starts(shop: Site) -> None:
    auto = User.objects.get(username="auto")
    grant_set(actor=OPERATOR, subject=shop.environment, holder=auto, level=Level.VIEW)
    outcome = push(shop, shop.repo.shas[0])
    assert outcome.run is None
    assert outcome.text.startswith("refused: ")
    assert not Deployment.objects.exists()
    Environment.objects.update(deploy_as=None)
    assert "nobody is named" in push(shop, shop.repo.shas[0]).text


def test_outside_hours_one_run_waits_with_the_newest_commit(shop: Site) -> None:
    hours = BusinessHours.objects.create(name="later", timezone="UTC", weekly=closed_now())
    Environment.objects.update(hours=hours)
    first = push(shop, shop.repo.shas[0])
    assert first.run is not None
    assert first.run.state == RunState.WAITING
    assert "waits until" in first.text
    newest = shop.repo.commit({"index.html": "two\n"})
    second = push(shop, newest)
    assert second.run == first.run
    assert Deployment.objects.get().commit == newest


def test_push_that_waited_does_not_undo_a_pause(shop: Site) -> None:
    Environment.objects.update(hours=BusinessHours.objects.create(name="later", timezone="UTC", weekly=closed_now()))
    waiting = push(shop, shop.repo.shas[0]).run
    assert waiting is not None
    auto_pause(environment=shop.environment, actor=OPERATOR, reason="rolled back")
    Environment.objects.update(hours=None)
    Run.objects.update(not_before=timezone.now())
    run_advance_waiting(timezone.now())
    waiting.refresh_from_db()
    assert (waiting.state, waiting.summary) == ("failed", "Refused: Automatic deployment is paused: rolled back")


def test_push_in_the_very_moment_in_which_a_run_ends_is_not_lost(shop: Site) -> None:
    """The push saw the run at work and is not committed yet; the run must not be seen to end before it is."""
    first = push(shop, shop.repo.shas[0]).run
    assert first is not None
    noted, newest = threading.Event(), "b" * 40

    def late_push() -> None:
        try:
            with transaction.atomic():
                assert push(shop, newest).run is None
                noted.set()
                time.sleep(0.5)
        finally:
            connection.close()

    thread = threading.Thread(target=late_push)
    thread.start()
    assert noted.wait(60)
    assert run_move(run_id=first.pk, to=RunState.FAILED) is not None
    assert Environment.objects.get().wanted_commit == newest
    thread.join()


def test_commit_brought_to_one_host_only_is_still_wanted(shop: Site) -> None:
    deployment = shop.request(commit=shop.repo.shas[0], host=shop.hosts[0])
    assert deployment.run is not None
    assert push(shop, shop.repo.shas[0]).run is None  # remembered
    run_stop(run=deployment.run, actor=OPERATOR)
    run_settle(run_id=deployment.run.pk)
    following = Run.objects.exclude(pk=deployment.run.pk).get()
    assert (following.cause, following.deployment.commit, following.deployment.target) == (
        "push",
        shop.repo.shas[0],
        "",
    )


def test_person_who_is_gone_is_not_the_operator(shop: Site) -> None:
    """A run asked for with `--as` must not gain the shell's rights by the deletion of the account."""
    person = User.objects.create_user("person")
    grant_set(actor=OPERATOR, subject=shop.environment, holder=person, level=Level.ACT)
    run = shop.request(actor=Actor(user=person, door=Door.COMMAND)).run
    assert run is not None
    person.delete()
    run.refresh_from_db()
    decision = kind_named(run.kind).admit(run)
    assert not decision.allowed
    assert "nobody" in " ".join(decision.reasons)


def test_an_endless_freeze_refuses(shop: Site) -> None:
    Freeze.objects.create(reason="audit", starts_at=timezone.now(), author_name="developer")
    outcome = push(shop, shop.repo.shas[0])
    assert outcome.run is None
    assert "audit" in outcome.text


def test_no_active_host_refuses(shop: Site) -> None:
    Host.objects.update(active=False)
    assert "All hosts of shop/prod are inactive" in push(shop, shop.repo.shas[0]).text


def test_the_right_is_asked_again_by_the_runner(shop: Site) -> None:
    run = push(shop, shop.repo.shas[0]).run
    assert run is not None
    auto = User.objects.get(username="auto")
    grant_set(actor=Actor(user=None, door=Door.COMMAND), subject=shop.environment, holder=auto, level=Level.VIEW)
    assert run_now(run).state == RunState.FAILED
    assert run.summary.startswith("Refused: ")
    assert shop.release(0) is None
