"""What is true after something was changed behind the panel's back: a node's address, its settings, its branch."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.utils import timezone

from apps.repos.models import Repository
from apps.repos.services import repository_fetch
from apps.runs.models import Cause, Run
from apps.runs.states import RunState
from apps.sesam import journal
from apps.sesam.models import ApplyMode, Node, Sync
from apps.sesam.selectors import snapshots_of
from apps.sesam.services import node_resume, owed_pay, restore_request, sync_push, sync_request
from apps.sesam.services.check import nodes_check
from apps.sesam.services.check_apply import verdict_apply
from apps.sesam.services.check_due import checks_start_due
from apps.sesam.services.check_judge import Verdict
from apps.sesam.soundness import twin_problem
from apps.sesam.states import NodeState
from tests.fakes.sesam_node import FakeNode
from tests.fakes.wire import Answer
from tests.sesam.engine import METADATA, OPERATOR, ROOT, MakeSetting, Setting, carried_out, log_of, pipe, system

pytestmark = pytest.mark.django_db


@pytest.fixture
def dev(make_dev: MakeSetting) -> Setting:
    """A node that was synced once."""
    dev = make_dev(upload=["variables"], variables_files=["v.json"])
    dev.hold(pipe("a"), pipe("old"), METADATA)
    dev.fake.variables = {"x": 1}
    dev.commit(pipe("a", name="A"), pipe("b"), METADATA, files={f"{ROOT}/v.json": json.dumps({"x": 2})})
    assert dev.sync().state == RunState.SUCCEEDED
    dev.node.refresh_from_db()
    return dev


@pytest.fixture
def other() -> Iterator[FakeNode]:
    """Another node, which has something of its own."""
    node = FakeNode()
    node.open()
    node.put(pipe("a"), pipe("theirs"))
    yield node
    node.stop()


def check(dev: Setting) -> Node:
    nodes_check(ids=[dev.node.pk])
    dev.node.refresh_from_db()
    return dev.node


def moved(dev: Setting, **fields: Any) -> None:
    """As somebody saves the form."""
    dev.node = Node.objects.get(pk=dev.node.pk)
    for name, value in fields.items():
        setattr(dev.node, name, value)
    dev.node.save_settings()


def restored(dev: Setting, **more: Any) -> Sync:
    dev.node.refresh_from_db()
    snapshot = snapshots_of(dev.node).last()
    assert snapshot is not None
    return carried_out(restore_request(node=dev.node, actor=OPERATOR, cause=Cause.PERSON, snapshot=snapshot, **more))


def test_another_address_is_another_node(dev: Setting, other: FakeNode) -> None:
    assert check(dev).state == NodeState.IN_SYNC
    moved(dev, url=other.url, jwt=other.jwt, apply_mode=ApplyMode.SCHEDULE)
    node = check(dev)
    assert node.state == NodeState.BEHIND, "nothing was ever applied there, so it cannot have drifted"
    assert node.applied_commit == ""
    assert Run.objects.filter(state=RunState.QUEUED).exists(), "it is applied by itself"


def test_snapshot_of_another_address_asks_first(dev: Setting, other: FakeNode) -> None:
    moved(dev, url=other.url, jwt=other.jwt)
    held = dict(other.entities)
    row = restored(dev)
    assert row.state == RunState.FAILED
    assert dev.fake.url in row.run.summary
    assert other.entities == held
    row = restored(dev, confirmed={"address": 1})
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert set(other.entities) == {"a", "old", "node"}


def test_questions_of_a_restore_are_not_answered_by_a_sync(dev: Setting) -> None:
    dev.fake.put(*(pipe(f"n{number}") for number in range(30)))
    assert restored(dev).questions
    dev.node.refresh_from_db()
    assert dev.node.questions == []
    assert dev.node.state != NodeState.ASKS


def test_syncs_that_fail_do_not_push_out_older_snapshots(dev: Setting) -> None:
    dev.fake.faults.add("PUT", "/api/config", "status:403", times=None)
    dev.commit(pipe("a", name="refused"), METADATA)
    for _ in range(3):
        row = dev.sync(confirmed={"removals": 9})
        assert row.state == RunState.FAILED
    assert snapshots_of(dev.node).count() == 2
    newest = snapshots_of(dev.node).first()
    assert newest is not None
    assert newest.sync == row


def test_changed_settings_are_not_drift(dev: Setting) -> None:
    assert check(dev).state == NodeState.IN_SYNC
    dev.repo.commit({"elsewhere/pipes/a.conf.json": json.dumps(pipe("a", name="other"))})
    assert dev.sync().no_change
    assert check(dev).state == NodeState.IN_SYNC
    moved(dev, sync_root="elsewhere", variables_files=["none"])
    assert check(dev).state == NodeState.BEHIND
    moved(dev, sync_root=ROOT, variables_files=["v.json"])
    assert check(dev).state == NodeState.IN_SYNC
    dev.fake.put(pipe("by-hand"))
    assert check(dev).state == NodeState.DRIFTED


def test_what_was_wanted_of_another_branch_is_forgotten(dev: Setting) -> None:
    Node.objects.filter(pk=dev.node.pk).update(wanted_commit="a" * 40)
    moved(dev, interval=120)
    dev.node.refresh_from_db()
    assert dev.node.wanted_commit == "a" * 40
    moved(dev, branch="other")
    dev.node.refresh_from_db()
    assert dev.node.wanted_commit == ""


def test_two_nodes_at_one_address_are_refused(dev: Setting) -> None:
    twin = Node(name="twin", url=dev.fake.url.upper().replace("HTTP:", "http:").replace("/API", "/"), jwt="x")
    with pytest.raises(ValidationError, match="dev has this address, too"):
        twin.full_clean()
    twin.enabled = False
    twin.full_clean()
    dev.node.full_clean()


@pytest.mark.parametrize(
    ("one", "group", "two", "other_group", "alike"),
    [
        ("https://a/api", "", "https://a", "", True),
        ("https://a:443/api/", "", "https://A/api", "", True),
        ("https://a/api", "g", "https://a/api", "", True),
        ("https://a/api", "g", "https://a/api", "g", True),
        ("https://a/api", "g", "https://a/api", "h", False),
        ("https://a/api", "", "https://a:8443/api", "", False),
        ("https://a/one/api", "", "https://a/two/api", "", False),
        ("https://a:port/api", "", "https://b/api", "", False),
    ],
)
def test_addresses_that_are_the_same(one: str, group: str, two: str, other_group: str, alike: bool) -> None:
    mine, theirs = Node(name="n", url=one, config_group=group), Node(name="o", url=two, config_group=other_group)
    assert bool(twin_problem(mine, [theirs])) == alike


def test_forced_push_is_followed(dev: Setting) -> None:
    first = dev.repo.shas[-1]
    dev.commit(pipe("a", name="thrown away"), METADATA)
    assert dev.sync(confirmed={"removals": 5}).state == RunState.SUCCEEDED
    dev.repo.git("reset", "-q", "--hard", first)
    dev.repo.git("push", "-q", "--force", "origin", "main")
    repository_fetch(repository=Repository.objects.get())
    node = check(dev)
    assert node.state == NodeState.BEHIND
    assert node.seen_commit == first
    assert dev.sync().state == RunState.SUCCEEDED
    assert dev.fake.entities["a"]["name"] == "A"


def test_fetch_that_fails_is_told(dev: Setting) -> None:
    assert check(dev).state == NodeState.IN_SYNC
    Repository.objects.update(fetch_error="There is no space left on the device.")
    dev.commit(pipe("a", name="new"), pipe("b"), METADATA)
    node = check(dev)
    assert node.state == NodeState.BROKEN
    assert "cannot be fetched. There is no space left" in node.state_detail
    assert node.check_failures == 1
    repository_fetch(repository=Repository.objects.get())
    assert check(dev).state == NodeState.BEHIND


def test_older_look_does_not_overtake_a_push(dev: Setting) -> None:
    older = dev.repo.shas[-1]
    newer = dev.commit(pipe("a", name="newer"), METADATA)
    Node.objects.filter(pk=dev.node.pk).update(apply_mode=ApplyMode.SCHEDULE, check_claimed_at=timezone.now())
    looking = Node.objects.get(pk=dev.node.pk)
    repository = Repository.objects.get()
    assert sync_push(repository=repository, branch="main", commit=newer)[0].run is not None
    verdict = Verdict(state=NodeState.BEHIND, key="k", apply=True)
    assert verdict_apply(node=looking, commit=older, verdict=verdict, now=timezone.now()) is None
    dev.node.refresh_from_db()
    assert dev.node.wanted_commit == newer


def test_resume_tries_at_once(dev: Setting) -> None:
    Node.objects.filter(pk=dev.node.pk).update(tried="key", tries=5, tried_at=timezone.now())
    node_resume(node=dev.node, actor=OPERATOR)
    dev.node.refresh_from_db()
    assert (dev.node.tried, dev.node.tries) == ("", 0)


def test_write_that_is_carried_out_late_is_seen(dev: Setting) -> None:
    """Its answer is lost, reading back shows nothing of it, the undo finds nothing to do; and then it happens."""
    late: list[Callable[[], Answer]] = []
    own = dev.fake.answer_of

    def answer_of(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        if (method, path) == ("PUT", "/api/config"):
            late.append(lambda: own(method, path, query, headers, body))
            return Answer(502)
        return own(method, path, query, headers, body)

    dev.fake.answer_of = answer_of  # type: ignore[method-assign]
    Node.objects.filter(pk=dev.node.pk).update(interval=None)
    before = dev.state()
    dev.commit(pipe("a", name="late"), METADATA, system("s"), files={f"{ROOT}/v.json": json.dumps({"x": 3})})
    row = dev.sync(confirmed={"removals": 9})
    assert row.state == RunState.FAILED
    assert len(late) == 3
    assert dev.state() == before
    assert "had before" in row.run.summary
    assert "carries it out late" in row.run.summary
    dev.node.refresh_from_db()
    assert dev.node.check_after is not None, "it is looked at once more, although nobody looks at it by itself"
    assert dev.node.check_after < timezone.now() + timedelta(minutes=3)
    late[-1]()
    node = check(dev)
    assert node.state in {NodeState.BEHIND, NodeState.DRIFTED}
    assert "1 variable " in node.state_detail
    assert node.check_after is None


def test_somebody_edits_between_the_write_and_reading_back(dev: Setting) -> None:
    """Their change stays; what the sync wrote is undone, and the run says so."""
    own = dev.fake.answer_of
    edited = threading.Event()

    def answer_of(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        answer = own(method, path, query, headers, body)
        if (method, path) == ("PUT", "/api/config") and not edited.is_set():
            edited.set()
            dev.fake.put(pipe("mine", name="by hand"))
        return answer

    dev.fake.answer_of = answer_of  # type: ignore[method-assign]
    dev.commit(pipe("a", name="new"), pipe("b"), METADATA, files={f"{ROOT}/v.json": json.dumps({"x": 3})})
    row = dev.sync()
    assert row.state == RunState.FAILED
    assert dev.fake.entities["mine"]["name"] == "by hand"
    assert dev.fake.entities["a"]["name"] == "A"
    assert dev.fake.variables == {"x": 2}
    assert "1 entities were changed by someone else, and stay (mine)" in log_of(row)


@pytest.mark.parametrize("claimed", [False, True])
def test_clock_that_is_set_back(dev: Setting, claimed: bool) -> None:
    """Nobody waits for an hour that comes a second time."""
    now = timezone.now()
    assert checks_start_due(now + timedelta(hours=1)) == [dev.node.pk]
    ahead = {"checked_at": now + timedelta(hours=1), "check_after": now + timedelta(hours=1, minutes=1)}
    if not claimed:
        ahead["check_claimed_at"] = None
    Node.objects.filter(pk=dev.node.pk).update(**ahead)
    assert checks_start_due(now) == [dev.node.pk]
    node = check(dev)
    assert node.check_claimed_at is None
    assert node.check_after < now + timedelta(minutes=3)
    assert checks_start_due(timezone.now()) == []


class _Away:
    """The database, for writes of journals, from the moment that a call reaches the node."""

    def __init__(self, dev: Setting, monkeypatch: pytest.MonkeyPatch, call: tuple[str, str]) -> None:
        self.is_away, self._own, self._call = False, dev.fake.answer_of, call
        dev.fake.answer_of = self._answer_of  # type: ignore[method-assign]
        monkeypatch.setattr(journal, "PATIENCE", 0.0)
        monkeypatch.setattr(journal, "patiently", self._patiently)

    def _answer_of(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        if (method, path) == self._call:
            self.is_away = True
        return self._own(method, path, query, headers, body)

    def _patiently(self, act: Callable[[], Any], *, seconds: float) -> Any:
        if self.is_away:
            raise OperationalError("database is locked")
        return act()


@pytest.mark.parametrize(
    ("call", "fails"), [(("PUT", "/api/env"), False), (("PUT", "/api/config"), False), (("PUT", "/api/env"), True)]
)
def test_database_that_goes_away_during_the_writes(
    dev: Setting, monkeypatch: pytest.MonkeyPatch, call: tuple[str, str], fails: bool
) -> None:
    """The node is put back all the same, or has everything; what the journal does not say, a look at the node does."""
    before = dev.state()
    newest = dev.commit(pipe("a", name="new"), METADATA, files={f"{ROOT}/v.json": json.dumps({"x": 3})})
    if fails:
        dev.fake.faults.add("PUT", "/api/config", "status:403", times=None)
    away = _Away(dev, monkeypatch, call)
    row = carried_out(
        sync_request(node=dev.node, actor=OPERATOR, cause=Cause.PERSON, confirmed={"removals": 9}), settle=False
    )
    assert row.state in {RunState.FAILED, RunState.ERRORED}
    wanted = ({"a": pipe("a", name="new"), "node": METADATA}, {"x": 3}, {})
    if call[1] == "/api/env" or fails:
        assert dev.state() == before, log_of(row)
    else:
        assert dev.state() == wanted
    away.is_away = False
    dev.node.refresh_from_db()
    assert dev.node.state == NodeState.HALF
    assert owed_pay(node=dev.node), "the end of the run found an open journal"
    dev.node.refresh_from_db()
    row.refresh_from_db()
    assert dev.node.owed is None
    assert {entry["state"] for entry in row.journal} <= {"done", "undone"}
    assert dev.state() == (before if call[1] == "/api/env" or fails else wanted)
    assert (dev.node.applied_commit == newest) == (dev.state() == wanted)
