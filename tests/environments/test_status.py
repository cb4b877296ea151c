"""What hosts say they run, asked of real SSH servers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from django_q.models import OrmQ

from apps.access.levels import Level
from apps.environments import tasks
from apps.environments.host_reads import environments_differing
from apps.environments.models import Cluster, Environment, Host, HostRelease
from apps.environments.release import FILE, Release
from apps.environments.services.status import (
    environment_status_read,
    environments_status_read,
    statuses_start_due,
)
from apps.repos.models import Repository
from apps.runs.models import Cause, Run
from apps.runs.states import RunState
from tests.support.cast import grant
from tests.support.runner import wait_until
from tests.support.sshd import Fleet, together

pytestmark = pytest.mark.django_db
AT = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
OLD, NEW = "a" * 40, "b" * 40


def environment_on(hosts: list[Host], path: Path, method: str = "symlink") -> Environment:
    repository = Repository.objects.create(name="shop", url="file:///srv/git/shop.git")
    environment = Environment.objects.create(repository=repository, name="prod", target_path=str(path), method=method)
    cluster = Cluster.objects.create(name="blue")
    cluster.hosts.set(hosts)
    environment.clusters.set([cluster])
    return environment


def release(
    root: Path, name: str, commit: str, *, live: bool = False, minute: int = 0, unfinished: bool = False
) -> None:
    folder = root / "shop_releases" / name
    folder.mkdir(parents=True)
    at = AT + dt.timedelta(minutes=minute)
    text = Release(branch="main", commit=commit, at=at, folder=str(folder), in_progress=unfinished).text()
    (folder / FILE).write_text(text)
    if live:
        (root / "shop").unlink(missing_ok=True)
        (root / "shop").symlink_to(folder)


@pytest.fixture
def fleet(sshd_fleet: Callable[..., Fleet]) -> Fleet:
    return sshd_fleet(2)


@pytest.fixture
def environment(fleet: Fleet, tmp_path: Path) -> Environment:
    """Two hosts cannot share one disk in reality; here they do, so that one path serves both."""
    return environment_on(fleet.declare(), tmp_path / "shop")


def test_status_reads_live_and_kept_releases(environment: Environment, tmp_path: Path) -> None:
    release(tmp_path, "20261119_main_aaaaaaaa", OLD)
    release(tmp_path, "20261120_main_bbbbbbbb", NEW, live=True, minute=5)
    release(tmp_path, "20261120_main_cccccccc", "c" * 40, minute=9, unfinished=True)
    rows = environment_status_read(environment=environment)
    assert [row.host.name for row in rows] == ["web1", "web2"]
    row = rows[0]
    assert (row.commit, row.branch, row.error, row.in_progress) == (NEW, "main", "", False)
    assert row.deployed_at == AT + dt.timedelta(minutes=5)
    assert row.release.endswith("20261120_main_bbbbbbbb")
    assert [(one["commit"][0], one["in_progress"], one["live"]) for one in row.releases] == [
        ("c", True, False),
        ("b", False, True),
        ("a", False, False),
    ]
    environment.refresh_from_db()
    assert environment.status_read_at is not None
    assert environment.differs_since is None
    # Deployed by another tool, or before the panel came: the hosts know better.
    assert (environment.deployed_commit, environment.deployed_at) == (NEW, AT + dt.timedelta(minutes=5))


def test_status_of_hosts_with_nothing_on_them(environment: Environment) -> None:
    rows = environment_status_read(environment=environment)
    assert [(row.commit, row.error, row.releases) for row in rows] == [("", "", []), ("", "", [])]
    environment.refresh_from_db()
    assert environment.deployed_commit == ""


def test_status_in_place_reads_the_folder_itself(fleet: Fleet, tmp_path: Path) -> None:
    environment = environment_on(fleet.declare(), tmp_path / "shop", "inplace")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / FILE).write_text(f"main\n{OLD}\n2015-01-02 03:04:05.000001\n{tmp_path}/shop")
    row = environment_status_read(environment=environment)[0]
    assert (row.commit, row.deployed_at) == (OLD, dt.datetime(2015, 1, 2, 3, 4, 5, 1, tzinfo=dt.UTC))


def test_silent_host_keeps_what_it_said_last_with_the_error(
    environment: Environment, fleet: Fleet, tmp_path: Path
) -> None:
    release(tmp_path, "20261120_main_bbbbbbbb", NEW, live=True)
    environment_status_read(environment=environment)
    fleet[1].stop()
    good, silent = environment_status_read(environment=environment)
    assert (good.error, silent.commit) == ("", NEW)
    assert "Nothing listens" in silent.error
    assert silent.read_at > good.read_at - dt.timedelta(seconds=30)
    fleet[1].start()
    assert [row.error for row in environment_status_read(environment=environment)] == ["", ""]


def test_hosts_that_differ_are_flagged_after_half_an_hour(
    environment: Environment, tmp_path: Path, teammate: User, outsider: User
) -> None:
    release(tmp_path, "20261120_main_bbbbbbbb", NEW, live=True)
    # The second host's release folder is elsewhere.
    other = tmp_path / "other"
    release(other, "20261119_main_aaaaaaaa", OLD, live=True)
    repository = environment.repository
    twin = Environment.objects.create(repository=repository, name="twin", target_path=str(other / "shop"))
    twin.clusters.set(environment.clusters.all())
    environment_status_read(environment=environment)
    environment_status_read(environment=twin)
    HostRelease.objects.filter(environment=environment, host__name="web2").delete()
    HostRelease.objects.filter(environment=twin, host__name="web2").update(environment=environment)
    from apps.environments.services import status

    rows = list(HostRelease.objects.filter(environment=environment))
    status._store_summary(environment, rows)
    assert environment.differs_since is not None
    now = timezone.now()
    assert not environments_differing(now).exists()
    later = now + dt.timedelta(minutes=31)
    assert [one.path for one in environments_differing(later)] == ["shop/prod"]
    grant(teammate, environment, Level.VIEW)
    assert environments_differing(later, teammate).count() == 1
    assert environments_differing(later, outsider).count() == 0
    since = environment.differs_since
    status._store_summary(environment, rows)
    assert environment.differs_since == since
    environment_status_read(environment=environment)
    assert environment.differs_since is None


def test_answer_that_a_deployment_overtook_is_thrown_away(environment: Environment, tmp_path: Path) -> None:
    release(tmp_path, "20261120_main_bbbbbbbb", NEW, live=True)
    run = Run.objects.create(
        kind="deploy",
        subject=environment.subject,
        subject_path="shop/prod",
        cause=Cause.PERSON,
        requested_name="x",
        time_limit=1,
        silence_limit=1,
        state=RunState.RUNNING,
    )
    assert environment_status_read(environment=environment) == []
    Run.objects.filter(pk=run.pk).update(state=RunState.SUCCEEDED, ended_at=timezone.now() + dt.timedelta(minutes=1))
    assert environment_status_read(environment=environment) == []
    Run.objects.filter(pk=run.pk).update(ended_at=timezone.now())
    assert len(environment_status_read(environment=environment)) == 2


def test_hosts_that_left_are_forgotten(environment: Environment) -> None:
    environment_status_read(environment=environment)
    Host.objects.filter(name="web2").update(active=False)
    assert [row.host.name for row in environment_status_read(environment=environment)] == ["web1"]


@pytest.mark.database
def test_due_environments_are_rung_once(environment: Environment, settings: object) -> None:
    settings.STATUS_INTERVAL = 600  # type: ignore[attr-defined]
    now = timezone.now()
    assert statuses_start_due(now) == 1
    assert statuses_start_due(now) == 0
    assert statuses_start_due(now + dt.timedelta(seconds=599)) == 0
    assert statuses_start_due(now + dt.timedelta(seconds=601)) == 1
    assert [row.task["func"] for row in OrmQ.objects.all()] == ["apps.environments.tasks.status_read"] * 2
    Host.objects.update(active=False)
    assert statuses_start_due(now + dt.timedelta(days=1)) == 0


@pytest.mark.django_db(transaction=True)
def test_task_reads_in_a_process_of_its_own_and_survives_a_removed_environment(environment: Environment) -> None:
    tasks.status_read(environment.pk, environment.pk + 1000)
    wait_until(lambda: HostRelease.objects.count() == 2)


def test_slow_hosts_of_one_environment_do_not_delay_another(
    environment: Environment, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = Environment.objects.create(repository=environment.repository, name="twin", target_path="/srv/twin")
    twin.clusters.set(environment.clusters.all())
    for host in fleet:
        host.stop()
    together(4, monkeypatch)
    environments_status_read(environments=[environment, twin])
    assert HostRelease.objects.exclude(error="").count() == 4
