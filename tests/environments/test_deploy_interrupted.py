"""Runs that are stopped, or whose runner is killed, in each phase: nothing of them lives on, and the next one works."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.utils import timezone

from apps.environments.models import Deployment
from apps.runs.models import Run
from apps.runs.services import run_clean_up, run_stop, runs_reap
from apps.runs.states import RunState
from tests.support.processes import processes_of
from tests.support.runner import log_text, start_runner, wait_for_state, wait_until
from tests.support.site import OPERATOR, Build, Site, explain

PHASES = ("build", pytest.param("copy", marks=pytest.mark.database), "deploy script", "tests")
SLEEP = "#!/bin/sh\ntouch {flag}\nsleep 61 &\nsleep 62\n"


def hold(shop: Site, phase: str, flag: Path) -> Callable[[], bool]:
    """The next commit's deployment stays in this phase; the answer tells when it is there."""
    files: dict[str, str | bytes | None] = {"index.html": "two\n"}
    if phase == "copy":
        shop.environment.rsync_options = "-az --delete --bwlimit=20"
        shop.environment.save()
        files["big"] = os.urandom(2_000_000)
    else:
        name = {"build": "predeploy.sh", "deploy script": "deploy.sh", "tests": "tests/run_tests.sh"}[phase]
        files[name] = SLEEP.format(flag=flag)
    shop.repo.commit(files)
    if phase == "copy":
        folder = shop.fleet[0].root / "shop_releases"
        return lambda: any(folder.glob("*/.big*"))
    return flag.exists


def held_in(phase: str, shop: Site, flag: Path) -> tuple[Run, subprocess.Popen[bytes]]:
    """A second deployment that is in this phase now, and its runner."""
    shop.deploy()
    there = hold(shop, phase, flag)
    run = shop.request().run
    assert run is not None
    process = start_runner(run)
    wait_until(there)
    return run, process


def assert_whole(shop: Site) -> None:
    """Every host is on exactly one complete release."""
    for number in range(len(shop.hosts)):
        release = shop.release(number)
        assert release is not None
        assert not release.in_progress
        assert shop.files(number)["index.html"] in {"one\n", "two\n"}
        assert not list(shop.target(number).parent.glob(".shop.run-*"))


def assert_next_works(shop: Site) -> None:
    shop.environment.rsync_options = "-az --delete"
    shop.environment.save()
    gone: dict[str, str | None] = {"index.html": "three\n"}
    for name in ("predeploy.sh", "deploy.sh", "tests/run_tests.sh", "big"):
        if (shop.repo.tree / name).exists():
            gone[name] = None
    shop.repo.commit(gone)
    run = shop.deploy()
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert shop.files(0)["index.html"] == "three\n"


@pytest.mark.parametrize("phase", PHASES)
def test_stop(site: Build, phase: str, tmp_path: Path) -> None:
    shop = site(1, method="symlink")
    run, process = held_in(phase, shop, tmp_path / "flag")
    started = time.monotonic()
    run_stop(run=run, actor=OPERATOR)
    wait_for_state(run, seconds=30)
    # Three seconds on an idle machine; here other work may share it.
    assert time.monotonic() - started < 20 + shop.environment.stop_grace
    assert run.state == RunState.STOPPED, explain(run)
    process.wait(60)
    wait_until(lambda: not processes_of(run))
    assert_whole(shop)
    assert "stop" in log_text(run).lower()
    if phase == "copy":
        assert_next_works(shop)


@pytest.mark.parametrize("phase", PHASES)
def test_killed_runner(site: Build, phase: str, tmp_path: Path) -> None:
    shop = site(1, method="symlink")
    run, process = held_in(phase, shop, tmp_path / "flag")
    process.send_signal(signal.SIGKILL)
    process.wait()
    runs_reap(timezone.now())
    run.refresh_from_db()
    assert run.state == RunState.LOST, explain(run)
    run_clean_up(run_id=run.pk)
    wait_until(lambda: not processes_of(run))
    assert_whole(shop)
    assert Deployment.objects.get(run=run).state == RunState.LOST
    assert_next_works(shop)


@pytest.mark.database
def test_clean_up_removes_the_link_and_the_unfinished_release(site: Build) -> None:
    shop = site(1, method="symlink")
    shop.deploy()
    deployment = shop.request()
    run = deployment.run
    assert run is not None
    Run.objects.filter(pk=run.pk).update(state=RunState.LOST, token="t" * 16)
    releases = shop.fleet[0].root / "shop_releases"
    unfinished = releases / "20260101_main_abcdef12"
    unfinished.mkdir()
    folder = f"{shop.fleet.disk}/shop_releases/{unfinished.name}"
    text = f"main\nabcdef1234\n2026-01-01T00:00:00.000000\n{folder}\ndeployment in progress"
    (unfinished / ".git_release").write_text(text)
    link = shop.fleet[0].root / f".shop.run-{run.pk}"
    link.symlink_to(folder)
    Deployment.objects.filter(pk=deployment.pk).update(release=folder)
    following = shop.request()  # the place is free at once, and the next run may complete the same folder
    Deployment.objects.filter(pk=following.pk).update(release=folder)
    run_clean_up(run_id=run.pk)
    assert unfinished.exists()
    Deployment.objects.filter(pk=following.pk).update(release="")
    link.symlink_to(folder)
    run_clean_up(run_id=run.pk)
    assert not link.is_symlink()
    assert not unfinished.exists()
    assert len(shop.releases(0)) == 1
    assert "Removed" in log_text(run)
