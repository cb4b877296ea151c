"""A preview says what a deployment would do, and does none of it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from apps.access.actor import Actor, Door
from apps.access.errors import Conflict
from apps.access.levels import Level
from apps.environments import services
from apps.environments.models import Environment
from apps.runs.models import Cause, Run
from apps.runs.states import RunState
from tests.support.cast import grant
from tests.support.site import Build, Site, explain
from tests.ui import rows


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


@pytest.mark.django_db
@pytest.mark.database
def test_one_preview_at_a_time_for_each_person_and_environment(owner: User, teammate: User) -> None:
    shop = rows.repository_make()
    prod, test = (rows.environment_make(shop, name, rows.fleet_make(1, 1)) for name in ("prod", "test"))
    grant(teammate, prod, Level.ACT)

    def ask(environment: Environment, user: User | None) -> Run:
        actor = Actor(user=user, door=Door.ADMIN if user else Door.COMMAND)
        return services.preview_request(environment=environment, actor=actor, cause=Cause.PERSON)

    first = ask(prod, owner)
    with pytest.raises(Conflict, match=rf"Run #{first.pk} \(your preview of shop/prod\) is queued"):
        ask(prod, owner)
    for environment, user in ((test, owner), (prod, teammate), (prod, None)):
        ask(environment, user)
    Run.objects.filter(pk=first.pk).update(state=RunState.SUCCEEDED)
    ask(prod, owner)
