"""A preview says what a deployment would do, and does none of it."""

from __future__ import annotations

import pytest

from apps.runs.states import RunState
from tests.support.site import Build, Site, explain


def disk(shop: Site) -> list[tuple[str, int, int]]:
    """Everything on every host's disk, with its times."""
    return [
        (str(path), path.lstat().st_mtime_ns, path.lstat().st_size)
        for host in shop.fleet
        for path in sorted(host.root.rglob("*"))
    ]


@pytest.mark.parametrize("method", ["inplace", "symlink"])
def test_preview_counts_and_writes_nothing(site: Build, method: str) -> None:
    shop = site(2, method=method)
    shop.repo.commit({"old.html": "old\n", "deploy.sh": "#!/bin/sh\ntrue\n"})
    shop.deploy()
    sha = shop.repo.commit({"index.html": "longer\n", "css/site.css": "", "old.html": None, "new file\n*deleting": "n"})
    before = disk(shop)
    run = shop.preview()
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert disk(shop) == before
    result = run.result
    expected = {"commit": shop.repo.shas[1], "added": 1, "changed": 2, "deleted": 1}
    assert result["hosts"] == {"web1": expected, "web2": expected}
    assert (result["commit"], result["deployed"], result["commits_total"]) == (sha, shop.repo.shas[1], 1)
    assert {file["path"] for file in result["files"]} >= {"index.html", "old.html"}
    assert result["gate"]["allowed"] is True
    assert result["predeploy"] is False


def test_preview_before_the_first_deployment(site: Build) -> None:
    shop = site(1, method="symlink")
    run = shop.preview()
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert run.result["hosts"]["web1"] == {"commit": "", "added": 2, "changed": 0, "deleted": 0}
    assert not any(shop.fleet[0].root.iterdir())


def test_preview_names_a_host_that_is_down(site: Build) -> None:
    shop = site(2)
    shop.fleet[0].stop()
    run = shop.preview()
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert "Nothing listens" in run.result["hosts"]["web1"]["error"]
    assert run.result["hosts"]["web2"]["added"] == 2
