"""The commands as scripts use them: in processes of their own, judged by their exit status."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import execute_from_command_line
from django.utils import timezone

from apps.access.levels import Level
from apps.access.models import Freeze
from apps.environments.models import Deployment, Environment, Host
from apps.runs.models import Run
from apps.runs.states import RunState
from tests.support.cast import grant
from tests.support.runner import run_now, start_runner, wait_for_state, wait_until
from tests.support.site import Build, Site

MANAGE = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py")]
Started = Callable[..., "subprocess.Popen[str]"]


Manage = Callable[..., tuple[int, str, str]]


@pytest.fixture
def manage(capsys: pytest.CaptureFixture[str]) -> Manage:
    """Runs a command as the shell would, but in this process, which is quicker: status, output, errors."""

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = 0
        try:
            execute_from_command_line(["manage.py", *words])
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.fixture
def started() -> Iterator[Started]:
    """Starts a command that the test does not wait for."""
    processes: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(
                [*MANAGE, *words], env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def newest() -> Run:
    wait_until(Run.objects.exists)
    return Run.objects.latest("pk")


def test_deploy_follows_to_success_and_rollback_goes_back(manage: Manage, site: Build, started: Started) -> None:
    shop = site(1, method="symlink")
    shop.deploy()
    second = shop.repo.commit({"index.html": "two\n"}, "Sell two")
    before = Run.objects.count()
    command = started("deploy", "shop/prod", "--follow")
    wait_until(lambda: Run.objects.count() > before)
    run_now(newest())
    out, err = command.communicate(timeout=60)
    assert (command.returncode, err) == (0, "")
    assert f"Run #{newest().pk} of shop/prod: queued." in out
    assert "web1: " in out
    assert second[:8] in out
    before = Run.objects.count()
    command = started("rollback", "shop/prod", "--to", shop.repo.shas[0][:9], "--follow")
    wait_until(lambda: Run.objects.count() > before)
    run_now(newest())
    out, _ = command.communicate(timeout=60)
    assert command.returncode == 0, out
    assert shop.files(0)["index.html"] == "one\n"
    status, out, _ = manage("rollback", "shop/prod", "--list", "--json")
    assert status == 0
    assert [(one["commit"], one["everywhere"]) for one in json.loads(out)] == [(second, True)]
    assert "Sell two" in manage("rollback", "shop/prod", "--list")[1]


def test_deploy_that_fails_exits_1(site: Build, started: Started) -> None:
    shop = site(1)
    shop.fleet[0].stop()
    command = started("deploy", "shop/prod", "--follow")
    run_now(newest())
    out, _ = command.communicate(timeout=60)
    assert command.returncode == 1
    assert "Nothing listens" in out


def test_deploy_that_is_stopped_exits_4(manage: Manage, site: Build, started: Started) -> None:
    shop = site(1)
    shop.repo.commit({"deploy.sh": "#!/bin/sh\nsleep 60\n"}, "Hang")
    command = started("deploy", "shop/prod", "--follow")
    runner = start_runner(newest())
    try:
        wait_for_state(newest(), RunState.RUNNING)
        assert manage("runs", "stop", str(newest().pk))[0] == 0
        command.communicate(timeout=60)
        assert command.returncode == 4
    finally:
        runner.kill()
        runner.wait()


def test_deploy_dry_run_shows_and_changes_nothing(site: Build, started: Started) -> None:
    shop = site(1)
    command = started("deploy", "shop/prod", "--dry-run")
    run_now(newest())
    out, err = command.communicate(timeout=60)
    assert command.returncode == 0, err
    assert f"Would deploy {shop.repo.shas[0][:10]} Open the shop" in out
    assert "web1: 2 new" in out
    assert "A deployment would be allowed now." in out
    assert not Deployment.objects.exists()


def test_deploy_to_a_cluster_or_a_host_without_following(manage: Manage, site: Build) -> None:
    site(2)
    status, out, _ = manage("deploy", "shop/prod", "--host", "web2", "--ref", "main", "--json")
    assert status == 0
    deployment = Deployment.objects.get()
    assert json.loads(out)["run"] == deployment.run_id
    assert (deployment.target, deployment.ref) == ("web2", "main")
    # A second one while the first waits: refused, and told which.
    status, _, err = manage("deploy", "shop/prod", "--cluster", "blue")
    assert status == 3
    assert f"#{deployment.run_id}" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("deploy", "shop/prd"), "Did you mean “shop/prod”?"),
        (("deploy", "shop/prod", "--host", "web9"), "There is no host called “web9”; did you mean “web1”?"),
        (("deploy", "shop/prod", "--cluster", "bleu"), "did you mean “blue”?"),
        (("deploy", "shop/prod", "--cluster", "blue", "--host", "web1"), "not allowed with"),
        (("deploy", "shop/prod", "--ref", "a..b"), "cannot be a branch"),
        (("deploy", "shop/prod", "--as", "nobody"), "There is no user called “nobody”."),
        (("deploy",), "the following arguments are required: SUBJECT"),
        (("rollback", "shop/prod"), "no earlier deployment"),
        (("rollback", "shop/prod", "--to", "abc"), "too short for a commit"),
        (("gate", "shop/prod", "--at", "yesterday"), "is no moment such as"),
        (("gate", "nothing"), "There is no"),
        (("gate", "shop/prud"), "did you mean “shop/prod”?"),
        (("runs", "list", "--subject", "shop/prud"), "did you mean “shop/prod”?"),
        (("repos", "log", "shop", "--limit", "0"), "--limit: at least 1 is needed."),
        (("hosts", "check", "web9"), "There is no host called “web9”; did you mean “web1”?"),
        (("hosts", "pin", "web1", "--fingerprint", "SHA256:no"), "does not show that key"),
        (("hosts", "dance"), "invalid choice"),
        (("environments",), "required: ACT"),
    ],
)
def test_bad_usage_exits_2(manage: Manage, shop: Site, words: tuple[str, ...], said: str) -> None:
    status, _, err = manage(*words)
    assert status == 2, err
    assert said in err


@pytest.fixture
def shop(site: Build) -> Site:
    return site(1)


def test_refusals_exit_3_with_every_reason(manage: Manage, shop: Site, transactional_db: None) -> None:
    alice = User.objects.create_user("alice")
    status, _, err = manage("deploy", "shop/prod", "--as", "alice")
    assert status == 2, err  # what she may not see does not exist
    grant(alice, shop.environment, Level.VIEW)
    Freeze.objects.create(reason="Year's end", starts_at=timezone.now(), author_name="owner")
    Host.objects.update(active=False)
    status, _, err = manage("deploy", "shop/prod", "--as", "alice")
    assert status == 3
    assert err.splitlines()[0] == "Refused:"
    for words in ("lacks the right", "Year's end", "All hosts of shop/prod are inactive"):
        assert words in err
    assert manage("rollback", "shop/prod", "--to", "a" * 40, "--as", "alice")[0] == 3
    assert not Run.objects.exists()


def test_override_needs_a_reason_and_is_kept(manage: Manage, shop: Site) -> None:
    Freeze.objects.create(reason="Year's end", starts_at=timezone.now(), author_name="owner")
    assert manage("deploy", "shop/prod")[0] == 3
    assert manage("deploy", "shop/prod", "--override", " ")[0] == 2
    assert manage("deploy", "shop/prod", "--override", "incident 42")[0] == 0
    assert Run.objects.get().override_reason == "incident 42"


def test_when_open_waits(manage: Manage, shop: Site) -> None:
    end = timezone.now() + dt.timedelta(hours=1)
    Freeze.objects.create(reason="Lunch", starts_at=timezone.now(), ends_at=end, author_name="owner")
    status, out, _ = manage("deploy", "shop/prod", "--when-open", "--follow")
    assert status == 0
    assert "waiting" in out
    assert Run.objects.get().not_before == end


def test_gate_prints_each_rule(manage: Manage, shop: Site) -> None:
    alice = User.objects.create_user("alice")
    grant(alice, shop.environment, Level.ACT)
    status, out, _ = manage("gate", "shop/prod", "--as", "alice")
    assert status == 0
    assert out.startswith("Allowed at ")
    assert "  yes permission: alice has the right “deploy”." in out
    tomorrow = timezone.now() + dt.timedelta(days=1)
    Freeze.objects.create(
        reason="Move", starts_at=tomorrow, ends_at=tomorrow + dt.timedelta(hours=2), author_name="owner"
    )
    at = (tomorrow + dt.timedelta(hours=1)).isoformat()
    status, out, _ = manage("gate", "shop/prod", "--as", "alice", "--at", at, "--json")
    assert status == 3
    answer = json.loads(out)
    assert (answer["allowed"], answer["as"]) == (False, "alice")
    assert {rule["name"]: rule["allowed"] for rule in answer["rules"]} == {
        "permission": True,
        "freeze": False,
        "hours": True,
    }
    assert answer["opens_at"]


def test_lists_show_what_may_be_seen(manage: Manage, shop: Site) -> None:
    status, out, _ = manage("environments", "list", "--json")
    assert status == 0
    (row,) = json.loads(out)
    assert (row["subject"], row["clusters"], row["deployed_commit"], row["run"]) == ("shop/prod", ["blue"], None, None)
    status, out, _ = manage("hosts", "list", "--json")
    (row,) = json.loads(out)
    assert (row["name"], row["environments"], row["ok"]) == ("web1", ["shop/prod"], None)
    assert row["fingerprint"].startswith("SHA256:")
    assert "never checked" in manage("hosts", "list")[1]
    assert "nothing" in manage("environments", "list")[1]
    User.objects.create_user("alice")
    assert json.loads(manage("environments", "list", "--json", "--as", "alice")[1]) == []
    assert json.loads(manage("hosts", "list", "--json", "--as", "alice")[1]) == []


def test_hosts_check_scan_pin_status(manage: Manage, shop: Site) -> None:
    status, out, _ = manage("hosts", "check")
    assert status == 0, out
    assert "web1: Ready." in out
    assert "ok      target of shop/prod" in out
    Environment.objects.update(target_path="/proc/shop")
    status, out, _ = manage("hosts", "check", "web1", "--environment", "shop/prod", "--json")
    assert status == 1
    assert json.loads(out)[0]["summary"] == "Failed: target."
    shop.fleet[0].change_host_key()
    status, out, _ = manage("hosts", "scan", "web1", "--json")
    (key,) = json.loads(out)
    assert (status, key["pinned"]) == (0, False)
    status, out, _ = manage("hosts", "pin", "web1", "--fingerprint", key["fingerprint"])
    assert status == 0
    assert " is pinned instead of SHA256:" in out
    assert Host.objects.get().host_key == shop.fleet[0].host_key
    status, out, _ = manage("hosts", "status", "shop/prod", "--json")
    assert status == 0
    assert json.loads(out)[0]["commit"] is None
    shop.fleet[0].stop()
    for words in (("scan", "web1"), ("check", "web1"), ("status", "shop/prod"), ("pin", "web1", "--fingerprint", "x")):
        status, out, err = manage("hosts", *words)
        assert status == 1, words
        assert "Nothing listens" in out + err


@pytest.mark.parametrize("name", ["deploy", "rollback", "environments", "hosts", "gate", "apply", "dump"])
def test_help_has_examples(manage: Manage, name: str) -> None:
    status, out, _ = manage(name, "--help")
    assert status == 0
    assert f"manage.py {name}" in out.split("examples:")[1]
