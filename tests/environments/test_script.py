"""Build scripts over SSH: what they do on real hosts, and what the panel says of it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.access.errors import InputError
from apps.access.models import Freeze
from apps.environments.models import Cluster, Host
from apps.environments.services import script_request
from apps.runs.models import Cause, Run, Step
from apps.runs.services import run_clean_up, run_stop, runs_reap
from apps.runs.states import RunState
from apps.triggers.models import Trigger
from tests.support.processes import processes_of
from tests.support.runner import OPERATOR, log_text, run_now, start_runner, wait_for_state, wait_until
from tests.support.site import cell, explain
from tests.support.sshd import Fleet


@dataclass
class Scripts:
    """Some hosts, and a trigger that wants scripts run there."""

    fleet: Fleet
    hosts: list[Host]
    trigger: Trigger

    def request(self, script: str, **given: Any) -> Run:
        wish: dict[str, Any] = {"hosts": self.hosts, "cluster": None, "actor": OPERATOR, "cause": Cause.TRIGGER}
        return script_request(subject=self.trigger, name="web", script=script, **wish | given)

    def run(self, script: str, **given: Any) -> Run:
        return run_now(self.request(script, **given))

    def file(self, name: str, number: int = 0) -> Path:
        """A file in the folder where sessions on that host begin."""
        return self.fleet[number].root / name


Build = Callable[..., Scripts]


@pytest.fixture
def scripts(transactional_db: None, sshd_fleet: Callable[..., Fleet], monkeypatch: pytest.MonkeyPatch) -> Build:
    def build(count: int = 1) -> Scripts:
        fleet = sshd_fleet(count)
        trigger = Trigger(name="web")
        trigger.save()
        return Scripts(fleet, fleet.declare(), trigger)

    return build


def folders(run: Run) -> list[Path]:
    """What the run has left in the hosts' folder for temporary files."""
    run.refresh_from_db()
    return list(Path("/tmp").glob(f"deploypanel-{run.pk}-*-{run.token[:16]}"))


EVERYTHING = """\
steps:
  - shell: |
      echo "$GREETING from $DEPLOYPANEL_TRIGGER $DEPLOYPANEL_COUNT"
      cp "$DEPLOYPANEL_PAYLOAD" payload.json
    env: {GREETING: "it's $(id) `date`"}
  - shell: |
      word=kept
      echo $word >&2
      pwd
    script: true
    cwd: made
  - shell: echo never
    when: {equals: {/branch: dev}}
  - shell: "false\\necho not reached > wrong"
    continue_on_error: true
  - shell: echo try >> tries; test $(wc -l < tries) = 2
    retries: 1
  - shell: echo done > done
"""


def test_steps_run_on_every_host_with_the_payload(scripts: Build) -> None:
    site = scripts(3)
    for number in range(3):
        site.file("made", number).mkdir()
    cluster = Cluster.objects.create(name="blue")
    cluster.hosts.set(site.hosts[1:])
    Host.objects.filter(name="web3").update(active=False)
    payload = {"branch": "main", "note": "it's 'quoted' — ünï\n" + "x" * 60_000}
    run = site.run(EVERYTHING, hosts=site.hosts[:1], cluster=cluster, payload=payload, number=42)
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert run.summary == "6 steps on 2 hosts."
    for number in range(2):
        assert json.loads(site.file("payload.json", number).read_text()) == payload
        assert site.file("done", number).exists()
        assert not site.file("wrong", number).exists()
    log = log_text(run, host="web2")
    assert "it's $(id) `date` from web 42\n" in log
    assert "kept\n" in log_text(run, host="web2", stream="err")
    assert f"{site.fleet[1].root}/made\n" in log
    assert "web3 is inactive" in log_text(run)
    assert cell(run, "3 shell", "web1").state == "skipped"
    assert (cell(run, "4 shell", "web1").state, cell(run, "4 shell", "web1").exit_status) == ("failed", 1)
    assert "Attempt 2 of 2 follows" in log
    assert "“false” ended with status 1. The script goes on." in log
    assert not Step.objects.filter(run=run, host="web3").exists()
    assert folders(run) == []


def test_a_host_that_fails_fails_alone(scripts: Build) -> None:
    site = scripts(2)
    site.file("bad").touch()
    long = "# " + "ü" * 90_000 + "\n"  # beyond what Linux takes as one argument
    run = site.run(
        "steps:\n  - shell: test ! -e bad\n  - {shell: sleep 60, timeout: 0.3, continue_on_error: true}\n".replace(
            "0.3", "1"
        )
        + f"  - shell: |\n      {long}      echo long > long\n    script: true\n"
    )
    assert run.state == RunState.FAILED, explain(run)
    assert run.summary == ("web1, 1 shell: “test ! -e bad” ended with status 1. See its last lines. Done on web2.")
    assert site.file("long", 1).exists()
    assert not site.file("long").exists()
    assert "did not end within 1 s" in cell(run, "2 shell", "web2").message
    assert cell(run, "3 shell", "web1").state == "pending"
    assert folders(run) == []


HANGING = "steps:\n  - shell: |\n      sleep 61 &\n      touch begun; sleep 62\n    script: true\n"


def test_a_stop_ends_what_runs_on_the_hosts(scripts: Build) -> None:
    site = scripts(2)
    run = site.request(HANGING)
    process = start_runner(run)
    wait_until(lambda: site.file("begun").exists() and site.file("begun", 1).exists())
    run_stop(run=run, actor=OPERATOR)
    wait_for_state(run)
    assert run.state == RunState.STOPPED, explain(run)
    process.wait(60)
    wait_until(lambda: not processes_of(run))
    assert folders(run) == []


def test_a_killed_runner_leaves_nothing_on_the_hosts(scripts: Build) -> None:
    site = scripts(1)
    run = site.request(HANGING)
    process = start_runner(run)
    wait_until(lambda: site.file("begun").exists())
    assert folders(run) != []
    process.send_signal(signal.SIGKILL)
    process.wait()
    runs_reap(timezone.now())
    run.refresh_from_db()
    assert run.state == RunState.LOST, explain(run)
    run_clean_up(run_id=run.pk)
    wait_until(lambda: not processes_of(run))
    assert folders(run) == []
    assert "web1: " in log_text(run)


def test_the_gate_is_asked_again_when_it_begins(scripts: Build) -> None:
    site = scripts(1)
    run = site.request("steps: [{shell: touch begun}]")
    Freeze.objects.create(subject=site.trigger, starts_at=timezone.now(), reason="Inventory", author_name="Ann")
    run = run_now(run)
    assert run.state == RunState.FAILED
    assert "Frozen: web, by Ann" in run.summary
    assert not site.file("begun").exists()


def test_a_trigger_that_is_gone_runs_nothing(scripts: Build) -> None:
    site = scripts(1)
    run = site.request("steps: [{shell: touch begun}]")
    site.trigger.delete()
    run = run_now(run)
    assert (run.state, run.summary) == (RunState.FAILED, "Refused: web is gone.")


@pytest.mark.django_db
def test_what_cannot_be_run_is_refused_at_once() -> None:
    trigger = Trigger(name="web")
    trigger.save()
    wish: dict[str, Any] = {"subject": trigger, "name": "web", "actor": OPERATOR, "cause": Cause.TRIGGER}
    with pytest.raises(InputError, match="line 2, column 5"):
        script_request(script="steps:\n  - shel: ls\n", hosts=[], cluster=None, **wish)
    with pytest.raises(InputError, match=r"no host is active here \(cluster blue\)"):
        script_request(script="steps: [{shell: ls}]", hosts=[], cluster=Cluster.objects.create(name="blue"), **wish)
    assert not Run.objects.exists()
