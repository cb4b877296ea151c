"""A sync from Git to the node, when nothing breaks but what people wrote."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.actor import Actor, Door
from apps.access.errors import Conflict, InputError, Refused
from apps.access.models import AuditEntry, Freeze
from apps.runs.models import Cause
from apps.runs.states import RunState
from apps.sesam.errors import StoreError
from apps.sesam.models import Node, SecretStore, Snapshot, StoredSecret
from apps.sesam.pipeline import apply
from apps.sesam.pipeline import sync as sync_steps
from apps.sesam.services import node_pause, node_resume, sync_request
from apps.sesam.states import NodeState
from apps.sesam.storage import configuration_of
from tests.fakes.sesam_node import FakeNode
from tests.fakes.wire import Answer
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
)  # fmt: skip

pytestmark = pytest.mark.django_db


@pytest.fixture
def dev(make_dev: MakeSetting) -> Setting:
    return make_dev()


def with_secrets(dev: Setting, **values: str) -> None:
    """The node uploads secrets, from the panel's own store."""
    store = SecretStore.objects.create(name="own", kind=SecretStore.Kind.PANEL)
    for name, value in values.items():
        StoredSecret.objects.create(store=store, name=name, value=value)
    Node.objects.filter(pk=dev.node.pk).update(upload=["secrets"], verify=["secrets"], secret_store=store)


def test_sync_makes_the_node_as_git_has_it(dev: Setting) -> None:
    dev.hold(pipe("a"), pipe("old"), METADATA)
    sha = dev.commit(pipe("a", name="A"), pipe("b"), system("s"), METADATA)
    row = dev.sync()
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert set(dev.fake.entities) == {"a", "b", "s", "node"}
    assert row.counts["new"] == 2
    assert row.counts["changed"] == row.counts["removed"] == row.counts["unchanged"] == 1
    dev.node.refresh_from_db()
    assert dev.node.applied_commit == dev.node.attempted_commit == sha == row.commit
    assert dev.node.state == NodeState.IN_SYNC
    assert Snapshot.objects.get().entities == 3
    assert "2 new, 1 changed, 1 removed" in row.run.summary
    assert steps_of(row)["read back"] == "succeeded"
    assert AuditEntry.objects.filter(action="sync", allowed=True).exists()


def test_sync_without_a_difference_writes_nothing(dev: Setting) -> None:
    dev.hold({"type": "pipe", "source": {"entities": [], "type": "embedded"}, "_id": "a"}, METADATA)
    dev.commit(pipe("a"), METADATA)
    row = dev.sync()
    assert row.state == RunState.SUCCEEDED
    assert row.no_change
    assert "No change" in row.run.summary
    assert dev.fake.writes == []
    assert len(dev.fake.requests) == 1, "one download, and nothing else"
    assert not Snapshot.objects.exists()
    assert steps_of(row)["configuration"] == "skipped"
    dev.node.refresh_from_db()
    assert dev.node.state == NodeState.IN_SYNC
    assert dev.node.applied_commit == row.commit


def test_protected_and_ignored_stay_as_the_node_has_them(dev: Setting) -> None:
    Node.objects.filter(pk=dev.node.pk).update(protected=["watcher"], ignore=["a#/comment", "free*"])
    dev.hold(pipe("a", comment="the node's"), system("watcher"), pipe("free-1"))
    dev.commit(pipe("a", comment="git's", name="new"), pipe("b"))
    row = dev.sync()
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert set(dev.fake.entities) == {"a", "b", "watcher", "free-1"}
    assert dev.fake.entities["a"]["comment"] == "the node's"
    assert dev.fake.entities["a"]["name"] == "new"


def test_problems_are_told_at_once_and_nothing_is_asked_of_the_node(dev: Setting) -> None:
    files = {f"{ROOT}/pipes/bad.conf.json": '{\n "_id": \n}', f"{ROOT}/pipes/none.conf.json": '{"type": "pipe"}'}
    dev.repo.commit(files)
    row = dev.sync()
    assert row.state == RunState.FAILED
    assert f"{ROOT}/pipes/bad.conf.json:3" in log_of(row)
    assert f"{ROOT}/pipes/none.conf.json" in log_of(row)
    assert len([one for one in row.problems if one["error"]]) == 2
    assert dev.fake.requests == []
    dev.node.refresh_from_db()
    assert dev.node.state == NodeState.BROKEN
    assert "bad.conf.json" in dev.node.state_detail


def test_missing_names_are_told_with_their_files(dev: Setting) -> None:
    with_secrets(dev, known="s3cret-value")
    Node.objects.filter(pk=dev.node.pk).update(verify=["variables", "secrets"], variables_files=["v.json"])
    dev.commit(pipe("a", c="$ENV(nowhere) $SECRET(lost) $SECRET(known)"), files={f"{ROOT}/v.json": "{}"})
    row = dev.sync()
    assert row.state == RunState.FAILED
    file = f"{ROOT}/pipes/a.conf.json"
    assert row.missing == {"variables": {"nowhere": [file]}, "secrets": {"lost": [file]}}
    assert "nowhere" in row.run.summary
    assert "lost" in row.run.summary
    assert file in log_of(row)
    assert dev.fake.writes == []
    dev.node.refresh_from_db()
    assert dev.node.state == NodeState.BROKEN


def test_variables_on_the_node_count_where_git_has_no_file_of_them(dev: Setting) -> None:
    Node.objects.filter(pk=dev.node.pk).update(verify=["variables"])
    dev.commit(pipe("a", c="$ENV(there)"))
    dev.fake.variables = {"there": 1}
    assert dev.sync().state == RunState.SUCCEEDED
    dev.commit(pipe("a", c="$ENV(elsewhere)"))
    assert dev.sync().missing["variables"] == {"elsewhere": [f"{ROOT}/pipes/a.conf.json"]}


def test_refused_configuration_is_told_next_to_its_file(dev: Setting) -> None:
    dev.hold(pipe("a"))
    before = dev.state()
    dev.commit(pipe("a", name="A"), {"_id": "odd", "type": "pipe"})
    row = dev.sync()
    assert row.state == RunState.FAILED
    file = f"{ROOT}/pipes/odd.conf.json"
    assert row.refused == [
        {
            "entity": "odd", "file": file, "level": "error", "message": "A pipe needs a source.",
            "elements": ["source"],
        }
    ]  # fmt: skip
    assert f"odd ({file}): A pipe needs a source. [source]" in log_of(row)
    assert "Nothing was written" in row.run.summary
    assert dev.state() == before
    assert row.journal == []
    dev.node.refresh_from_db()
    assert dev.node.state == NodeState.BROKEN
    assert dev.node.owed is None


def test_guard_asks_and_a_confirmation_answers(dev: Setting) -> None:
    dev.hold(*(pipe(f"p{number}") for number in range(30)), METADATA)
    before = dev.state()
    dev.commit(*(pipe(f"p{number}") for number in range(15)))
    row = dev.sync()
    assert row.state == RunState.FAILED
    assert {one["kind"]: one["number"] for one in row.questions} == {"removals": 16, "metadata": 1}
    assert dev.state() == before
    dev.node.refresh_from_db()
    assert dev.node.state == NodeState.ASKS
    assert len(dev.node.questions) == 2
    assert dev.sync(confirmed={"removals": 15, "metadata": 1}).state == RunState.FAILED
    assert dev.state() == before
    row = dev.sync(confirmed={"removals": 16, "metadata": 1})
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert len(dev.fake.entities) == 15
    dev.node.refresh_from_db()
    assert dev.node.questions == []
    assert all(one["confirmed"] for one in row.questions)
    assert Snapshot.objects.get().entities == 31


@pytest.mark.parametrize("confirmed", [{"removal": 3}, {"removals": -1}, {"removals": True}, {"removals": "3"}])
def test_confirmation_must_make_sense(dev: Setting, confirmed: Any) -> None:
    with pytest.raises(InputError):
        sync_request(node=dev.node, actor=OPERATOR, cause=Cause.PERSON, confirmed=confirmed)


def test_empty_folder_does_not_empty_the_node(dev: Setting) -> None:
    dev.hold(pipe("a"), pipe("b"))
    dev.repo.commit({f"{ROOT}/README.md": "moved"})
    row = dev.sync()
    assert row.state == RunState.FAILED
    assert row.questions[0]["kind"] == "everything"
    assert dev.fake.writes == []


def changes_at(dev: Setting, method: str, path: str, *acts: Callable[[], None]) -> None:
    """At its first, second … call of this, the node first changes by another's hand."""
    left = list(acts)

    def answer_of(got: str, where: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        if (got, where) == (method, path) and left:
            left.pop(0)()
        return FakeNode.answer_of(dev.fake, got, where, query, headers, body)

    dev.fake.answer_of = answer_of  # type: ignore[method-assign]


def test_change_by_another_between_comparison_and_write_is_seen(dev: Setting) -> None:
    Node.objects.filter(pk=dev.node.pk).update(protected=["watcher"])
    dev.hold(pipe("a"), system("watcher"))
    dev.commit(pipe("a", name="A"))
    changes_at(dev, "GET", "/api/config", lambda: None, lambda: dev.fake.put(system("watcher", name="just now")))
    row = dev.sync()
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert dev.fake.entities["watcher"]["name"] == "just now"
    assert "compared again" in log_of(row)
    assert [one for one in dev.fake.writes if one[0] == "PUT"] == [("PUT", "/api/config")]


def test_node_that_keeps_changing_is_left_alone(dev: Setting) -> None:
    dev.hold(pipe("a"), pipe("x"))
    dev.commit(pipe("a", name="A"))
    numbers = iter(range(100))
    changes_at(dev, "GET", "/api/config", *(lambda: dev.fake.put(pipe("x", n=next(numbers))) for _ in range(20)))
    row = dev.sync()
    assert row.state == RunState.FAILED
    assert "Someone else has changed" in row.run.summary
    assert [one for one in dev.fake.writes if one[0] == "PUT"] == []


def test_what_differs_in_the_nodes_own_form_only_is_no_change(dev: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tests.fakes.sesam_node.canonical_text", lambda entity: json.dumps(entity | {"batch_size": 100})
    )
    dev.hold(pipe("a", batch_size=100), pipe("b", batch_size=100))
    dev.commit(pipe("a"), pipe("b"))
    row = dev.sync()
    assert row.no_change, log_of(row)
    assert dev.fake.writes == []
    dev.commit(pipe("a"), pipe("b", name="new"))
    row = dev.sync()
    assert row.state == RunState.SUCCEEDED
    assert row.counts["changed"] == 1
    assert row.counts["unchanged"] == 1


def test_secrets_are_sent_when_missing_and_again_when_asked(dev: Setting) -> None:
    with_secrets(dev, one="s3cret-value-1", two="s3cret-value-2", unused="s3cret-value-3")
    dev.fake.secrets = {"two": "older", "other": "stays"}
    dev.commit(pipe("a", c="$SECRET(one)$SECRET(two)"))
    dev.hold(pipe("a", c="$SECRET(one)$SECRET(two)"))
    row = dev.sync()
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert dev.fake.secrets == {"one": "s3cret-value-1", "two": "s3cret-value-2", "other": "stays"}
    assert dev.fake.writes == [("POST", "/api/secrets")]
    assert dev.sync().no_change
    StoredSecret.objects.filter(name="one").delete()
    StoredSecret.objects.create(store=SecretStore.objects.get(), name="one", value="s3cret-renewed")
    assert dev.sync().no_change, "values are never compared"
    row = dev.sync(resend_secrets=True)
    assert row.state == RunState.SUCCEEDED
    assert dev.fake.secrets["one"] == "s3cret-renewed"
    assert "s3cret" not in log_of(row)


def test_store_that_fails_before_the_writes_leaves_the_node(dev: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    with_secrets(dev, one="s3cret-value-1")
    dev.commit(pipe("a", c="$SECRET(one)"))
    dev.hold(pipe("a"))
    before = dev.state()

    def closed(store: SecretStore) -> Any:
        raise StoreError(f"Secret store {store.name}: sealed.")

    monkeypatch.setattr(apply, "store_opened", closed)
    row = dev.sync()
    assert row.state == RunState.FAILED
    assert "sealed" in row.run.summary
    assert dev.state() == before
    assert dev.fake.writes == []


def test_node_that_does_not_keep_what_it_took_is_put_back(dev: Setting) -> None:
    dev.hold(pipe("a"))
    before = dev.state()
    dev.commit(pipe("a", name="A"), pipe("b"))

    def answer_of(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        answer = FakeNode.answer_of(dev.fake, method, path, query, headers, body)
        if (method, path) == ("PUT", "/api/config") and "b" in dev.fake.entities:
            dev.fake.entities["b"] = pipe("b", lost="something")
        return answer

    dev.fake.answer_of = answer_of  # type: ignore[method-assign]
    row = dev.sync()
    assert row.state == RunState.FAILED
    assert "not what was sent: 1 entities (b)" in row.run.summary
    assert "had before" in row.run.summary
    assert dev.state() == before
    assert steps_of(row)["undo"] == "succeeded"
    assert steps_of(row)["read back"] == "failed"


def test_node_that_writes_things_its_own_way_is_read_back_as_equal(
    dev: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fakes.sesam_node.canonical_text", lambda entity: json.dumps(entity | {"extra": 1}))
    dev.commit(pipe("a"), pipe("b"))

    def answer_of(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        answer = FakeNode.answer_of(dev.fake, method, path, query, headers, body)
        if (method, path) == ("PUT", "/api/config"):
            dev.fake.put(*(one | {"extra": 1} for one in list(dev.fake.entities.values())))
        return answer

    dev.fake.answer_of = answer_of  # type: ignore[method-assign]
    assert dev.sync().state == RunState.SUCCEEDED
    assert dev.sync().no_change


def test_group_is_replaced_alone(dev: Setting) -> None:
    Node.objects.filter(pk=dev.node.pk).update(config_group="mine")
    dev.hold(
        pipe("a", metadata={"$config-group": "mine"}), pipe("theirs", metadata={"$config-group": "other"}), METADATA
    )
    dev.commit(pipe("a", name="A"), pipe("b"), METADATA)
    row = dev.sync()
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert set(dev.fake.entities) == {"a", "b", "theirs", "node"}
    assert dev.fake.entities["b"]["metadata"]["$config-group"] == "mine"
    assert dev.sync().no_change


def test_unknown_files_of_the_node_are_warned_of(dev: Setting) -> None:
    dev.fake.unknown["README.md"] = b"hello"
    dev.commit(pipe("a"))
    row = dev.sync()
    assert "README.md" in log_of(row)
    assert "Warning" in log_of(row)


def test_freeze_that_begins_meanwhile_stops_the_write(dev: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    dev.hold(pipe("a"))
    before = dev.state()
    dev.commit(pipe("a", name="A"))
    passed = sync_steps.guard_passed

    def freeze(session: Any) -> None:
        passed(session)
        until = timezone.now() + dt.timedelta(hours=1)
        Freeze.objects.create(starts_at=timezone.now(), ends_at=until, reason="release", author_name="owner")

    monkeypatch.setattr(sync_steps, "guard_passed", freeze)
    row = dev.sync()
    assert row.state == RunState.FAILED
    assert "Frozen" in row.run.summary
    assert dev.state() == before


def test_pipes_that_are_being_deployed_are_told(dev: Setting) -> None:
    dev.fake.deploying = 60
    dev.commit(pipe("slow-one"))
    row = dev.sync()
    assert row.state == RunState.SUCCEEDED
    assert "slow-one" in log_of(row).rpartition("still being deployed")[2]


def test_node_that_is_off_or_follows_nothing_is_refused(dev: Setting) -> None:
    dev.node.enabled = False
    dev.node.save()
    with pytest.raises(Refused, match="is off"):
        sync_request(node=dev.node, actor=OPERATOR, cause=Cause.PERSON)
    dev.node.enabled, dev.node.repository = True, None
    dev.node.save()
    with pytest.raises(Refused, match="follows no repository"):
        sync_request(node=dev.node, actor=OPERATOR, cause=Cause.PERSON)


def test_outsider_is_refused_and_audited(dev: Setting, outsider: User) -> None:
    with pytest.raises(Refused):
        sync_request(node=dev.node, actor=Actor(user=outsider, door=Door.ADMIN), cause=Cause.PERSON)
    assert AuditEntry.objects.filter(action="sync", allowed=False).count() == 1


def test_second_request_is_a_conflict_that_names_the_first(dev: Setting) -> None:
    first = sync_request(node=dev.node, actor=OPERATOR, cause=Cause.PERSON)
    with pytest.raises(Conflict, match=f"#{first.run_number}"):
        sync_request(node=dev.node, actor=OPERATOR, cause=Cause.PERSON)


def test_unreachable_node_is_told_with_its_remedy(dev: Setting) -> None:
    dev.commit(pipe("a"))
    dev.fake.faults.add("*", "*", "status:401", times=None)
    row = dev.sync()
    assert row.state == RunState.FAILED
    assert "401" in row.run.summary
    assert "token" in log_of(row).lower()
    dev.node.refresh_from_db()
    assert dev.node.state == NodeState.UNREACHABLE


def test_older_commit_by_hand_does_not_count_as_in_sync(dev: Setting) -> None:
    old = dev.commit(pipe("a"))
    dev.commit(pipe("a", name="new"))
    row = dev.sync(ref=old[:8])
    assert row.state == RunState.SUCCEEDED
    assert row.commit == old
    dev.node.refresh_from_db()
    assert dev.node.applied_commit == old
    assert dev.node.state == NodeState.UNKNOWN


def test_wanted_and_before_are_kept_for_the_plans_page(dev: Setting) -> None:
    dev.hold(pipe("a"))
    dev.commit(pipe("a", name="A"))
    row = dev.sync()
    assert row.before is not None
    assert row.wanted is not None
    assert configuration_of(row.before).entities["a"].value == pipe("a")
    assert configuration_of(row.wanted).entities["a"].file == f"{ROOT}/pipes/a.conf.json"


def test_pause_and_resume(dev: Setting, teammate: User) -> None:
    node_pause(node=dev.node, actor=OPERATOR, reason="Night shift")
    dev.node.refresh_from_db()
    assert dev.node.auto_paused_reason == "Night shift"
    with pytest.raises(InputError):
        node_pause(node=dev.node, actor=OPERATOR, reason="  ")
    with pytest.raises(Refused):
        node_resume(node=dev.node, actor=Actor(user=teammate, door=Door.ADMIN))
    node_resume(node=dev.node, actor=OPERATOR)
    dev.node.refresh_from_db()
    assert dev.node.auto_paused_at is None


def test_node_deleted_meanwhile_ends_the_run(dev: Setting) -> None:
    dev.commit(pipe("a"))
    row = sync_request(node=dev.node, actor=OPERATOR, cause=Cause.PERSON)
    Node.objects.filter(pk=dev.node.pk).delete()
    row.refresh_from_db()
    assert row.node is None
    assert carried_out(row).state == RunState.FAILED
