"""From a check to a run and back: what is behind is applied, what drifted is healed, what is owed is paid."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.access.models import BusinessHours
from apps.repos.services import repository_fetch
from apps.runs.models import Cause, Run
from apps.runs.states import RunState
from apps.sesam.models import ApplyMode, Node, Sync
from apps.sesam.services.check import nodes_check
from apps.sesam.services.check_due import checks_start_due
from apps.sesam.states import NodeState
from tests.sesam.engine import ROOT, MakeSetting, Setting, carried_out, log_of, pipe

pytestmark = pytest.mark.django_db


@pytest.fixture
def dev(make_dev: MakeSetting) -> Setting:
    made = make_dev(apply_mode=ApplyMode.HEAL)
    made.hold(pipe("a"))
    news(made, "a")
    return made


def news(dev: Setting, *names: str, files: dict[str, str] | None = None) -> str:
    sha = dev.commit(*(pipe(name) for name in names), files=files or {})
    assert dev.node.repository is not None
    repository_fetch(repository=dev.node.repository)
    return sha


def check(dev: Setting) -> Node:
    nodes_check(ids=[dev.node.pk])
    dev.node.refresh_from_db()
    assert dev.node.check_claimed_at is None
    return dev.node


def started(dev: Setting) -> Sync:
    """The one run that a check has started, carried out."""
    run = Run.objects.get(state=RunState.QUEUED)
    assert run.cause == Cause.SCHEDULE
    sync = carried_out(run.sync)
    dev.node.refresh_from_db()
    return sync


def test_what_is_behind_is_applied_once(dev: Setting) -> None:
    assert check(dev).state == NodeState.IN_SYNC
    sha = news(dev, "a", "b")
    assert check(dev).state == NodeState.BEHIND
    sync = started(dev)
    assert sync.state == RunState.SUCCEEDED, log_of(sync)
    assert set(dev.fake.entities) == {"a", "b"}
    assert (dev.node.state, dev.node.applied_commit) == (NodeState.IN_SYNC, sha)
    for _ in range(2):
        node = check(dev)
        assert (node.state, node.tries) == (NodeState.IN_SYNC, 0)
    assert Run.objects.count() == 1


def test_what_drifted_is_healed_each_time(dev: Setting) -> None:
    check(dev)
    for count in (1, 2):
        dev.hold(pipe("a", description="by hand"))
        assert check(dev).state == NodeState.DRIFTED
        assert started(dev).state == RunState.SUCCEEDED
        assert dev.fake.entities["a"] == pipe("a")
        assert check(dev).state == NodeState.IN_SYNC
        assert Run.objects.count() == count


def test_what_drifts_again_and_again_is_healed_more_seldom(dev: Setting) -> None:
    """Each time to something else: it must neither be synced each minute for ever, nor use up the snapshots."""
    check(dev)
    for count in range(6):
        dev.hold(pipe("a", description=f"by a robot, {count}"))
        assert check(dev).state == NodeState.DRIFTED
        if Run.objects.filter(state=RunState.QUEUED).exists():
            assert started(dev).state == RunState.SUCCEEDED
            assert check(dev).state == NodeState.IN_SYNC
    assert Run.objects.count() == 3
    for _ in range(2):
        node = check(dev)
        assert node.state_detail.count("It is applied again after") == 1
        assert "tried 3 times" in node.state_detail
    Node.objects.update(tried_at=timezone.now() - timedelta(minutes=21))
    check(dev)
    assert started(dev).state == RunState.SUCCEEDED
    assert check(dev).tries == 4
    Node.objects.update(tried_at=timezone.now() - timedelta(hours=3))
    dev.hold(pipe("a", description="much later"))
    assert check(dev).tries == 1, "it has been quiet since"
    assert started(dev).state == RunState.SUCCEEDED


def test_what_failed_waits_before_it_is_tried_again(dev: Setting) -> None:
    check(dev)
    news(dev, "a", "b")
    dev.fake.faults.add("PUT", "/api/config", "status:403", times=99)
    check(dev)
    assert started(dev).state == RunState.FAILED
    for _ in range(3):
        assert check(dev).state in {NodeState.BEHIND, NodeState.UNREACHABLE}
    assert Run.objects.count() == 1
    dev.fake.faults.clear()
    Node.objects.update(tried_at=timezone.now() - timedelta(minutes=6))
    check(dev)
    assert started(dev).state == RunState.SUCCEEDED
    assert check(dev).state == NodeState.IN_SYNC


def test_what_is_owed_is_paid_before_all(dev: Setting) -> None:
    Node.objects.update(upload=["variables"], variables_files=["variables.json"], apply_mode=ApplyMode.MANUAL)
    dev.fake.variables = {"where": "old"}
    news(dev, "a", "b", files={f"{ROOT}/variables.json": json.dumps({"where": "new"})})
    dev.fake.faults.add("PUT", "/api/config", "status:503", times=99)
    dev.fake.faults.add("PUT", "/api/env", "status:503", times=99, after=1)
    sync = dev.sync()
    assert sync.state == RunState.FAILED, log_of(sync)
    dev.node.refresh_from_db()
    assert (dev.node.owed, dev.node.state) == (sync, NodeState.HALF)

    assert checks_start_due(timezone.now() + timedelta(minutes=20)) == [dev.node.pk]
    node = check(dev)
    assert (node.state, node.check_failures) == (NodeState.HALF, 1)
    assert dev.fake.variables == {"where": "new"}
    assert node.check_after is not None

    dev.fake.faults.clear()
    node = check(dev)
    assert (node.owed, dev.fake.variables) == (None, {"where": "old"})
    assert node.check_after is not None
    assert node.check_after <= timezone.now()
    node = check(dev)
    assert (node.state, node.check_failures) == (NodeState.BEHIND, 0)


def test_outside_the_hours_one_run_waits_with_the_newest_commit(dev: Setting) -> None:
    check(dev)
    day = (timezone.now() + timedelta(days=2)).strftime("%a").lower()
    hours = BusinessHours.objects.create(name="rare", timezone="UTC", weekly={day: "08:00-09:00"})
    Node.objects.update(hours=hours)
    for names in (["a", "b"], ["a", "b", "c"]):
        sha = news(dev, *names)
        for _ in range(2):
            assert check(dev).state == NodeState.BEHIND
    sync = Sync.objects.get()
    assert (sync.state, sync.commit) == (RunState.WAITING, sha)
