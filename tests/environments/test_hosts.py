"""Checking, scanning and pinning, on real SSH servers, whole and broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from apps.access.actor import Actor, Door
from apps.access.errors import InputError, Refused
from apps.access.levels import Level
from apps.access.models import AuditEntry, SshKey
from apps.access.ssh_keys import private_key_make
from apps.environments.errors import HostRefused
from apps.environments.host_report import HostReport, Result
from apps.environments.models import Cluster, Environment, Host
from apps.environments.services.hosts import host_check, host_key_pin, host_scan, hosts_check
from apps.repos.models import Repository
from tests.support.cast import grant
from tests.support.sshd import Fleet, together

pytestmark = pytest.mark.django_db
OPERATOR = Actor(user=None, door=Door.COMMAND)
Factory = Callable[..., Fleet]


@pytest.fixture
def fleet(sshd_fleet: Factory) -> Fleet:
    return sshd_fleet(1)


def environment_on(hosts: list[Host], path: str, method: str = "symlink") -> Environment:
    repository, _ = Repository.objects.get_or_create(name="shop", url="file:///srv/git/shop.git")
    environment = Environment.objects.create(repository=repository, name="prod", target_path=path, method=method)
    cluster = Cluster.objects.create(name="blue")
    cluster.hosts.set(hosts)
    environment.clusters.set([cluster])
    return environment


def check(host: Host) -> HostReport:
    return host_check(host=host, actor=OPERATOR)


def result(report: HostReport, name: str) -> tuple[Result, str, str]:
    (found,) = [check for check in report.checks if check.name == name]
    return found.result, found.detail, found.remedy


def test_check_of_a_good_host_is_kept_on_its_row(fleet: Fleet) -> None:
    (host,) = fleet.declare()
    environment_on([host], f"{fleet[0].root}/shop")
    report = check(host)
    assert report.ok, report.as_json()
    assert [check.name for check in report.checks][:5] == ["reachable", "host key", "log-in", "rsync", "target"]
    assert "rsync version" in result(report, "rsync")[1]
    host.refresh_from_db()
    assert host.checked_at is not None
    assert host.check_report == report.as_json()
    assert AuditEntry.objects.get(action="host.check").detail["object"] == "web1"
    assert list(fleet[0].root.iterdir()) == []  # it cleans up after itself


def test_check_of_a_host_that_is_down(fleet: Fleet) -> None:
    (host,) = fleet.declare()
    fleet[0].stop()
    report = check(host)
    assert result(report, "reachable")[0] is Result.FAILED
    assert "Nothing listens" in result(report, "reachable")[1]
    assert result(report, "log-in")[0] is Result.SKIPPED


def test_check_of_a_host_that_hangs_is_bounded(fleet: Fleet, settings: object) -> None:
    settings.SSH_CONNECT_TIMEOUT = 1  # type: ignore[attr-defined]
    (host,) = fleet.declare()
    fleet[0].freeze()
    report = check(host)
    assert result(report, "reachable")[0] is Result.FAILED
    assert "within 1 s" in result(report, "reachable")[1]


def test_check_of_a_host_without_a_pinned_key(fleet: Fleet) -> None:
    (host,) = fleet.declare()
    Host.objects.update(host_key="")
    report = check(host)
    assert result(report, "reachable")[0] is Result.OK
    found = result(report, "host key")
    assert found[0] is Result.FAILED
    assert "Scan" in found[2]


def test_check_of_a_host_whose_key_changed(fleet: Fleet) -> None:
    (host,) = fleet.declare()
    old = host_scan(host=host)[0].fingerprint
    fleet[0].change_host_key()
    report = check(host)
    assert result(report, "reachable")[0] is Result.OK
    found = result(report, "host key")
    assert found[0] is Result.FAILED
    assert old in found[1]
    assert host_scan(host=host)[0].fingerprint in found[1]


def test_check_with_a_key_that_the_host_does_not_know(fleet: Fleet) -> None:
    (host,) = fleet.declare()
    SshKey.objects.update(private_key=private_key_make())
    found = result(check(host), "log-in")
    assert found[0] is Result.FAILED
    assert "authorized_keys" in found[2]


def test_check_without_rsync(fleet: Fleet) -> None:
    (host,) = fleet.declare()
    fleet[0].hide("rsync")
    report = check(host)
    assert result(report, "rsync")[0] is Result.FAILED
    assert "apt-get install rsync" in result(report, "rsync")[2]


def test_check_of_a_target_that_cannot_be_made(fleet: Fleet) -> None:
    (host,) = fleet.declare()
    environment_on([host], "/proc/shop", "inplace")
    found = result(check(host), "target")
    assert found[0] is Result.FAILED
    assert "/proc/shop does not exist" in found[1]


def test_check_of_a_target_below_a_file(fleet: Fleet) -> None:
    (host,) = fleet.declare()
    (fleet[0].root / "file").write_text("x")
    environment_on([host], f"{fleet[0].root}/file/shop", "inplace")
    found = result(check(host), "target")
    assert found[0] is Result.FAILED
    assert "is a file" in found[1]


def test_check_of_a_folder_where_a_symlink_should_be(fleet: Fleet) -> None:
    (host,) = fleet.declare()
    (fleet[0].root / "shop").mkdir()
    environment_on([host], f"{fleet[0].root}/shop")
    assert "a folder of its own" in result(check(host), "target")[1]


def test_check_logs_in_as_the_environment_does(fleet: Fleet) -> None:
    (host,) = fleet.declare()
    environment = environment_on([host], f"{fleet[0].root}/shop")
    environment.remote_user = "nobody-of-that-name"
    environment.save()
    found = result(check(host), "log-in")
    assert found[0] is Result.FAILED
    assert "nobody-of-that-name" in found[1]


def test_check_through_a_jump_host(sshd_fleet: Factory) -> None:
    fleet = sshd_fleet(2)
    gate, host = fleet.declare()
    host.jump_host = gate
    host.save()
    report = check(host)
    assert result(report, "jump host")[0] is Result.OK
    assert report.ok
    fleet[0].stop()
    report = check(host)
    assert result(report, "jump host")[0] is Result.FAILED
    assert "web1" in result(report, "jump host")[1]


def test_check_of_several_hosts_goes_side_by_side(sshd_fleet: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = sshd_fleet(3)
    hosts = fleet.declare()
    fleet[0].stop()
    fleet[1].stop()
    together(3, monkeypatch)
    reports = hosts_check(hosts=hosts, actor=OPERATOR)
    assert [report.ok for report in reports] == [False, False, True]


def test_scan_logs_in_nowhere_and_stores_nothing(fleet: Fleet) -> None:
    (host,) = fleet.declare()
    Host.objects.update(host_key="")
    SshKey.objects.update(private_key=private_key_make())
    host.refresh_from_db()
    (key,) = host_scan(host=host)
    assert key.line == fleet[0].host_key
    assert Host.objects.get().host_key == ""
    fleet[0].stop()
    with pytest.raises(HostRefused):
        host_scan(host=host)


def test_pin_is_recorded_with_both_fingerprints(fleet: Fleet, owner: User) -> None:
    (host,) = fleet.declare()
    old = host_scan(host=host)[0]
    fleet[0].change_host_key()
    new = host_scan(host=host)[0]
    host_key_pin(host=host, actor=Actor(user=owner, door=Door.ADMIN), key=f"{new.line} comment")
    assert Host.objects.get().host_key == new.line
    entry = AuditEntry.objects.get(action="host.pin")
    assert (entry.detail["former"], entry.detail["fingerprint"]) == (old.fingerprint, new.fingerprint)
    assert check(host).ok


@pytest.mark.parametrize("key", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "not a key at all"])
def test_pin_refuses_what_is_no_key(fleet: Fleet, key: str) -> None:
    (host,) = fleet.declare()
    with pytest.raises(InputError):
        host_key_pin(host=host, actor=OPERATOR, key=key)


def test_rights_decide_who_checks_and_who_pins(fleet: Fleet, teammate: User, outsider: User) -> None:
    (host,) = fleet.declare()
    environment = environment_on([host], f"{fleet[0].root}/shop")
    grant(teammate, environment, Level.VIEW)
    for user in (teammate, outsider):
        with pytest.raises(Refused):
            host_check(host=host, actor=Actor(user=user, door=Door.ADMIN))
    grant(teammate, environment, Level.IN_HOURS)
    assert host_check(host=host, actor=Actor(user=teammate, door=Door.ADMIN)).ok
    with pytest.raises(Refused):
        host_key_pin(host=host, actor=Actor(user=teammate, door=Door.ADMIN), key=host.host_key)
    assert AuditEntry.objects.filter(action="host.check", allowed=False).count() == 2


def test_check_for_an_environment_that_is_elsewhere(fleet: Fleet, tmp_path: Path) -> None:
    (host,) = fleet.declare()
    environment = environment_on([], str(tmp_path))
    with pytest.raises(InputError, match="does not deploy to web1"):
        host_check(host=host, actor=OPERATOR, environment=environment)
