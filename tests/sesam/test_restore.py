"""Putting back what a node had before one of its syncs."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.actor import Actor, Door
from apps.access.errors import InputError, Refused
from apps.runs.models import Cause
from apps.runs.states import RunState
from apps.sesam.models import ApplyMode, Node, Snapshot, Sync, SyncAction
from apps.sesam.selectors import snapshots_of
from apps.sesam.services import restore_request, snapshots_prune, sync_automatic
from apps.sesam.states import NodeState
from tests.sesam.engine import (
    METADATA,
    OPERATOR,
    ROOT,
    MakeSetting,
    Setting,
    carried_out,
    log_of,
    pipe,
    steps_of,
    system,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def dev(make_dev: MakeSetting) -> Setting:
    """A node that applies by itself, synced once: its former state is a snapshot."""
    dev = make_dev(apply_mode=ApplyMode.PUSH, upload=["variables"], variables_files=["v.json"], protected=["watcher"])
    dev.hold(pipe("a"), pipe("old"), METADATA, system("watcher", name="first"))
    dev.fake.variables = {"x": 1}
    dev.commit(pipe("a", name="A"), pipe("b"), METADATA, files={f"{ROOT}/v.json": json.dumps({"x": 2, "y": 3})})
    assert dev.sync().state == RunState.SUCCEEDED
    dev.node.refresh_from_db()
    return dev


def restore(dev: Setting, snapshot: Snapshot | None = None, actor: Actor = OPERATOR, **more: object) -> Sync:
    dev.node.refresh_from_db()
    chosen = snapshot or snapshots_of(dev.node).get()
    return restore_request(node=dev.node, actor=actor, cause=Cause.PERSON, snapshot=chosen, **more)  # type: ignore[arg-type]


def test_restore_puts_back_configuration_and_variables(dev: Setting) -> None:
    dev.fake.put(system("watcher", name="second"))
    row = carried_out(restore(dev))
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert row.action == SyncAction.RESTORE
    assert set(dev.fake.entities) == {"a", "old", "node", "watcher"}
    assert dev.fake.entities["a"] == pipe("a")
    assert dev.fake.entities["watcher"]["name"] == "second", "what is protected stays"
    assert dev.fake.variables == {"x": 1}
    assert "Secrets cannot be restored" in log_of(row)
    assert steps_of(row)["read back"] == "succeeded"
    assert snapshots_of(dev.node).count() == 2, "what it had before the restore can be put back, too"


@pytest.mark.database
def test_restore_pauses_automatic_applying(dev: Setting) -> None:
    Node.objects.filter(pk=dev.node.pk).update(wanted_commit="abc")
    row = restore(dev)
    dev.node.refresh_from_db()
    assert "Restored to what it had" in dev.node.auto_paused_reason
    assert f"#{row.run_number}" in dev.node.auto_paused_reason
    assert dev.node.wanted_commit == ""
    assert "paused" in sync_automatic(node=dev.node, commit="a" * 40, why="a push").text
    assert carried_out(row).state == RunState.SUCCEEDED
    dev.node.refresh_from_db()
    assert dev.node.applied_commit == ""
    assert dev.node.state == NodeState.UNKNOWN
    assert dev.node.runs.count() == 2


def test_restore_of_the_restore_goes_forward_again(dev: Setting) -> None:
    wanted = dev.state()
    carried_out(restore(dev))
    row = carried_out(restore(dev, snapshots_of(dev.node).first()))
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert dev.state() == wanted
    dev.node.refresh_from_db()
    assert dev.node.applied_commit == dev.repo.shas[-1]


def test_restore_of_what_is_there_writes_nothing(dev: Setting) -> None:
    carried_out(restore(dev))
    dev.fake.forget()
    row = carried_out(restore(dev, snapshots_of(dev.node).last()))
    assert row.no_change
    assert dev.fake.writes == []


def test_restore_that_removes_much_asks(dev: Setting) -> None:
    dev.fake.put(*(pipe(f"n{number}") for number in range(30)))
    row = carried_out(restore(dev))
    assert row.state == RunState.FAILED
    assert row.questions[0]["number"] == 31
    assert carried_out(restore(dev, confirmed={"removals": 31})).state == RunState.SUCCEEDED


def test_restore_fault_leaves_the_node_as_it_was(dev: Setting) -> None:
    before = dev.state()
    dev.fake.faults.add("PUT", "/api/config", "status:403", times=None)
    row = carried_out(restore(dev))
    assert row.state == RunState.FAILED
    assert dev.state() == before
    assert "had before" in row.run.summary


def test_restore_refuses_what_is_not_its_own(dev: Setting, teammate: User) -> None:
    other = Node.objects.create(name="other", url=dev.fake.url, jwt="x", repository=dev.node.repository)
    with pytest.raises(InputError, match="another node"):
        restore_request(node=other, actor=OPERATOR, cause=Cause.PERSON, snapshot=snapshots_of(dev.node).get())
    with pytest.raises(Refused):
        restore(dev, actor=Actor(user=teammate, door=Door.ADMIN))


def test_restore_refuses_a_snapshot_of_another_group(dev: Setting) -> None:
    Node.objects.filter(pk=dev.node.pk).update(config_group="mine")
    before = dev.state()
    row = carried_out(restore(dev))
    assert row.state == RunState.FAILED
    assert "configuration group" in row.run.summary
    assert dev.state() == before


def test_snapshots_go_by_number_and_age_but_never_the_newest(dev: Setting) -> None:
    kept = snapshots_of(dev.node).get()
    for number in range(5):
        Snapshot.objects.create(node=dev.node, content=kept.content, entities=number)
    Node.objects.filter(pk=dev.node.pk).update(keep_snapshots=3)
    assert snapshots_prune() == 3
    assert [one.entities for one in snapshots_of(dev.node)] == [4, 3, 2]
    Snapshot.objects.update(taken_at=timezone.now() - timezone.timedelta(days=400))
    assert snapshots_prune() == 2
    assert [one.entities for one in snapshots_of(dev.node)] == [4]
