"""Going back: in seconds where the release is still there, by deploying again where it is not."""

from __future__ import annotations

import shutil

import pytest

from apps.access.errors import InputError
from apps.environments.models import Deployment, Environment
from apps.environments.selectors import releases_available
from apps.environments.services import auto_resume
from apps.runs.states import RunState, StepState
from tests.support.runner import log_text
from tests.support.site import OPERATOR, Build, cell, explain


def test_release_that_is_still_there_is_switched_to(site: Build) -> None:
    shop = site(2, method="symlink", auto_deploy=True)
    shop.repo.commit({"deploy.sh": "#!/bin/sh\necho serving $3 > served\n"})
    shop.deploy()
    live = shop.live(0)
    shop.repo.commit({"index.html": "two\n"})
    assert shop.deploy().state == RunState.SUCCEEDED
    [choice] = releases_available(shop.environment)
    assert (choice.commit, choice.hosts, choice.everywhere) == (shop.repo.shas[1], 2, True)
    (live / "served").unlink()
    run = shop.rollback()
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert shop.live(0) == live
    assert shop.files(1)["index.html"] == "one\n"
    assert (live / "served").read_text() == f"serving {shop.repo.shas[1]}\n"  # deploy.sh was kept for this
    assert not (live / "deploy.sh").exists()
    assert "back without copying" in log_text(run)
    assert "$ rsync" not in log_text(run)
    assert shop.environment.deployed_commit == shop.repo.shas[1]
    assert shop.environment.auto_paused_reason.startswith(f"Rolled back to {shop.repo.shas[1][:8]} by operator")
    assert Deployment.objects.order_by("id").last().action == "rollback"  # type: ignore[union-attr]
    auto_resume(environment=shop.environment, actor=OPERATOR)
    assert Environment.objects.get().auto_paused_at is None


def test_release_that_is_gone_on_one_host_is_deployed_again(site: Build) -> None:
    shop = site(2, method="symlink")
    shop.deploy()
    gone = shop.live(1)
    shop.repo.commit({"index.html": "two\n"})
    shop.deploy()
    shutil.rmtree(gone)
    run = shop.rollback()
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert "it is deployed again" in log_text(run)
    assert cell(run, "copy", "web1").state == StepState.SUCCEEDED
    assert shop.files(0)["index.html"] == shop.files(1)["index.html"] == "one\n"


def test_in_place_the_commit_is_deployed_again(site: Build) -> None:
    shop = site(1)
    shop.deploy()
    shop.repo.commit({"index.html": "two\n"})
    shop.deploy()
    run = shop.rollback(commit=shop.repo.shas[0])
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert shop.files(0)["index.html"] == "one\n"


def test_nothing_to_go_back_to(site: Build) -> None:
    shop = site(1)
    with pytest.raises(InputError, match="no earlier deployment"):
        shop.rollback()
