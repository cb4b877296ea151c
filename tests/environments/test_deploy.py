"""Deployments on real hosts: what is on their disks afterwards, and what the panel says."""

from __future__ import annotations

from apps.environments.models import Deployment, HostRelease
from apps.runs.states import RunState
from tests.support.runner import log_text
from tests.support.site import Build, cell, explain


def test_first_deployment_in_place(site: Build) -> None:
    shop = site(2)
    run = shop.deploy()
    assert run.state == RunState.SUCCEEDED, explain(run)
    for number in range(2):
        assert shop.files(number) == {"index.html": "one\n", "css/site.css": "body {}\n"}
        release = shop.release(number)
        assert release is not None
        assert (release.branch, release.commit, release.in_progress) == ("main", shop.repo.shas[0], False)
        assert release.folder == shop.environment.target_path
    assert shop.environment.deployed_commit == shop.repo.shas[0]
    deployment = Deployment.objects.get()
    assert (deployment.state, deployment.commit_subject, deployment.hosts_total) == ("succeeded", "Open the shop", 2)
    assert HostRelease.objects.get(host=shop.hosts[0]).commit == shop.repo.shas[0]
    assert "index.html" in log_text(run, host="web1")


def test_symlink_deployments(site: Build) -> None:
    shop = site(2, method="symlink", keep_releases=2)
    first = shop.deploy()
    assert first.state == RunState.SUCCEEDED, explain(first)
    assert shop.target(0).is_symlink()
    inode = (shop.live(0) / "css/site.css").stat().st_ino
    two = shop.repo.commit({"index.html": "two\n"}, "Sell two")
    second = shop.deploy()
    assert second.state == RunState.SUCCEEDED, explain(second)
    assert shop.files(1)["index.html"] == "two\n"
    assert shop.live(0).name.endswith(f"_main_{two[:8]}")
    assert (shop.live(0) / "css/site.css").stat().st_ino == inode  # linked, not copied
    third = shop.deploy()
    assert third.state == RunState.SUCCEEDED, explain(third)
    assert shop.live(0).name.endswith(f"_main_{two[:8]}-2")
    assert len(shop.releases(0)) == 2
    assert cell(third, "clean up", "web1").message == "1 old releases deleted"
