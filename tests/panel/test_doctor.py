"""The doctor names what is wrong, and the remedy."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from apps.access.fields import Sealed
from apps.access.models import SshKey
from apps.environments.models import Cluster, Environment, Host
from apps.repos.models import Repository
from apps.runs.beats import beat
from apps.runs.queue import ring
from deploypanel.doctor import database, machine, processes, subjects
from deploypanel.doctor import settings as settings_examined
from deploypanel.doctor.examine import examine
from deploypanel.doctor.finding import Finding

pytestmark = [pytest.mark.django_db, pytest.mark.database]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGKqrZ4pjZp9hXkTgSoL4YW2fbJh7V3Ue7lWcWmVhUqL"


def told(examination: object) -> list[str]:
    findings: list[Finding] = list(examination())  # type: ignore[operator]
    assert all(finding.remedy for finding in findings)
    return [f"{finding.about} {finding.text}" for finding in findings]


@pytest.fixture
def shop() -> Environment:
    """An environment without fault: a host with a key, a secret for pushes."""
    key = SshKey.objects.create(name="fleet", private_key="secret")
    host = Host.objects.create(name="web1", address="127.0.0.1", user="deploy", ssh_key=key, host_key=KEY)
    cluster = Cluster.objects.create(name="blue")
    cluster.hosts.add(host)
    repository = Repository.objects.create(name="shop", url="file:///srv/shop.git", webhook_secret="secret")
    environment = Environment.objects.create(repository=repository, name="prod", target_path="/srv/shop")
    environment.clusters.add(cluster)
    return environment


def test_a_sound_installation_has_nothing_wrong(shop: Environment, data_folder: Path) -> None:
    data_folder.chmod(0o700)
    beat(role="clock")
    beat(role="worker")
    assert examine() == []


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "which", lambda name: None if name == "rsync" else f"/usr/bin/{name}")
    assert [(found.about, found.remedy) for found in machine.programs()] == [("rsync", "apt-get install rsync")]


def test_an_old_program_is_named_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(machine.OLDEST, "git", ((99, 0), ["git", "--version"]))
    (line,) = told(machine.programs)
    assert line.startswith("git is version 2.")
    assert line.endswith("; 99.0 is needed")


def test_open_folders_and_keys_are_told(data_folder: Path) -> None:
    data_folder.chmod(0o755)
    (data_folder / "key_ring").write_text("…")
    (data_folder / "key_ring").chmod(0o644)
    assert told(machine.data_folder) == [
        f"{data_folder} is open to every user of this machine",
        f"{data_folder}/key_ring can be read by other users",
    ]


def test_a_panel_that_does_not_run_is_one_finding() -> None:
    assert told(processes.processes) == ["the panel does not run"]


def test_a_dead_clock_and_its_failing_chores_are_told() -> None:
    beat(role="worker")
    assert told(processes.processes) == [
        "the clock does not tick: nothing that waits is started, and lost runs are not noticed"
    ]
    beat(role="clock", detail={"failing": {"polls_start_due": "OSError: gone"}})
    assert told(processes.processes) == ["the clock's chore polls_start_due fails: OSError: gone"]


def test_a_late_queue_is_told() -> None:
    from django_q.models import OrmQ

    ring("apps.runs.beats.worker_beat")
    OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=42))
    (line,) = told(processes.queue)
    assert re.fullmatch(r"the queue is late: 1 tasks wait, the oldest for 4\d s", line)


def test_secrets_that_no_key_opens_are_counted(shop: Environment) -> None:
    SshKey.objects.update(private_key=Sealed("gAAAAABmnonsense"))
    assert told(database.secrets) == [
        "SSH key, private_key 1 of the stored secrets cannot be read with this installation's keys"
    ]


def test_a_host_without_a_key_and_an_environment_without_hosts_are_told(shop: Environment) -> None:
    Host.objects.update(host_key="")
    assert told(subjects.hosts) == ["host web1 has no pinned host key and is refused"]
    Host.objects.update(active=False)
    assert told(subjects.environments) == ["environment shop/prod has no active host"]


def test_automatic_deployments_that_cannot_happen_are_told(shop: Environment, django_user_model: type) -> None:
    Environment.objects.update(auto_deploy=True)
    assert told(subjects.environments) == ["environment shop/prod deploys on push, but as nobody (deploy_as)"]
    auto = django_user_model.objects.create_user("auto")  # type: ignore[attr-defined]
    Environment.objects.update(deploy_as=auto)
    assert told(subjects.environments) == ["environment shop/prod deploys on push as auto, who may not deploy there"]
    Repository.objects.update(webhook_secret="", fetch_error="no such repository")
    assert told(subjects.repositories) == [
        "repository shop cannot be fetched: no such repository",
        "repository shop deploys on push, but has neither a webhook secret nor a poll interval: no push is ever seen",
    ]


def test_a_public_panel_without_tls_is_told(settings: object) -> None:
    settings.BIND = "0.0.0.0"  # type: ignore[attr-defined]
    settings.DEBUG = True  # type: ignore[attr-defined]
    settings.ALLOWED_HOSTS = ["*"]  # type: ignore[attr-defined]
    said = [*told(settings_examined.debug), *told(settings_examined.addresses)]
    assert [line.split(maxsplit=1)[0] for line in said] == ["DEPLOYPANEL_DEBUG", "DEPLOYPANEL_ALLOWED_HOSTS", "the"]


def test_the_command_prints_json_and_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--json")
    assert ended.value.code == 1
    findings = json.loads(capsys.readouterr().out)
    assert {"about": "the panel", "text": "does not run"}.items() <= findings[-1].items()
    assert settings.DATA_DIR
