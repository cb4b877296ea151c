"""A sync that is ended in the middle: stopped, out of time, or its runner killed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.runs.models import Cause, Run
from apps.runs.services import run_clean_up, run_stop, runs_reap
from apps.runs.services.reap import Watch
from apps.runs.states import RunState
from apps.runs.work import Work
from apps.sesam.models import Node, SecretStore, StoredSecret, Sync
from apps.sesam.patience import Patience
from apps.sesam.pipeline import apply
from apps.sesam.services import doors, owed_pay, sync_request
from apps.sesam.services.check import nodes_check
from apps.sesam.services.check_due import checks_start_due
from apps.sesam.services.switch import node_switch
from apps.sesam.states import NodeState
from apps.sesam.storage import configuration_keep, configuration_of
from tests.fakes.sesam_node import FakeNode
from tests.fakes.wire import Answer
from tests.sesam.engine import (
    METADATA,
    OPERATOR,
    ROOT,
    STOP,
    TIME_OVER,
    Setting,
    carried_out,
    log_of,
    pipe,
    setting_made,
    system,
    tiny_patience,
)  # fmt: skip
from tests.support.gitrepo import GitRepo
from tests.support.runner import log_text, runner_of, start_runner, wait_until

NEW_VARIABLES = {"where": "https://new.example"}
WRITES = [("POST", "/api/secrets"), ("PUT", "/api/env"), ("PUT", "/api/config")]


def made(git_repo: Callable[..., GitRepo], fake_node: FakeNode) -> Setting:
    """A sync of everything: secrets, variables, configuration."""
    store = SecretStore.objects.create(name="own", kind=SecretStore.Kind.PANEL)
    StoredSecret.objects.create(store=store, name="one", value="s3cret-value-of-one")
    both = ["variables", "secrets"]
    dev = setting_made(
        git_repo("conf"), fake_node, upload=both, verify=both, secret_store=store, variables_files=["variables.json"]
    )
    dev.commit(
        pipe("a", description="$ENV(where) $SECRET(one)"), system("s"), METADATA,
        files={f"{ROOT}/variables.json": json.dumps(NEW_VARIABLES)},
    )  # fmt: skip
    reset(dev)
    return dev


def reset(dev: Setting) -> None:
    dev.hold(pipe("a"), pipe("old"), METADATA)
    dev.fake.variables, dev.fake.secrets = {"where": "https://old.example"}, {"other": "kept"}
    dev.fake.forget()


@pytest.fixture
def dev(db: None, git_repo: Callable[..., GitRepo], fake_node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> Setting:
    tiny_patience(monkeypatch)
    return made(git_repo, fake_node)


def at_call(dev: Setting, place: int, act: Callable[[], None], *, after: bool) -> None:
    """`act` happens when the node has got its call number `place`, before it does the work or after it."""
    own, count = type(dev.fake).answer_of, iter(range(10_000))

    def answer_of(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        mine = next(count) == place
        if mine and not after:
            act()
        answer = own(dev.fake, method, path, query, headers, body)
        if mine and after:
            act()
        return answer

    dev.fake.answer_of = answer_of  # type: ignore[method-assign]


def asked(dev: Setting) -> Sync:
    dev.node.refresh_from_db()
    return sync_request(node=dev.node, actor=OPERATOR, cause=Cause.PERSON, ref="main", commit=dev.repo.shas[-1])


@pytest.mark.parametrize(("reason", "ended"), [(STOP, RunState.STOPPED), (TIME_OVER, RunState.TIMED_OUT)])
@pytest.mark.parametrize("after", [False, True])
def test_end_at_each_call_leaves_the_node_as_before_or_as_wanted(
    dev: Setting, reason: Any, ended: RunState, after: bool
) -> None:
    before = dev.state()
    assert carried_out(asked(dev)).state == RunState.SUCCEEDED
    wanted, calls = dev.state(), list(dev.fake.requests)
    for place, call in enumerate(calls):
        reset(dev)
        works: list[Work] = []
        at_call(dev, place, lambda works=works: works[0].end(type(reason)(str(reason))), after=after)  # type: ignore[misc]
        row = carried_out(asked(dev), works.append)
        what = f"{place} {call}: {row.run.summary}\n{log_of(row)}"
        now = dev.state()
        dev.node.refresh_from_db()
        assert dev.node.owed is None
        assert {entry["state"] for entry in row.journal} <= {"done", "undone"}, what
        assert str(reason) in row.run.summary, what
        if place >= calls.index(("PUT", "/api/config")):
            # The node has it: to say that it was stopped would be the lesser truth.
            assert row.state == RunState.SUCCEEDED, what
            assert now == wanted, what
            assert "too late" in row.run.summary, what
        else:
            assert row.state == ended, what
            assert now == before, what
            written = any(call in WRITES for call in calls[: place + 1])
            assert ("had before" in row.run.summary) == (written and bool(row.journal)), what


def test_stop_does_not_wait_for_a_silent_node(dev: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "WORKING", Patience())
    dev.fake.faults.add("GET", "/api/env", "never", times=None)

    def stop_while_it_waits(work: Work) -> None:
        def stop() -> None:
            wait_until(lambda: ("GET", "/api/env") in dev.fake.requests, 60)
            stopped.append(time.monotonic())
            work.end(STOP)

        threading.Thread(target=stop).start()

    stopped: list[float] = []
    row = carried_out(asked(dev), stop_while_it_waits)
    assert time.monotonic() - stopped[0] < 20  # the silence alone is waited for longer
    assert row.state == RunState.STOPPED


def killed_at(dev: Setting, write: tuple[str, str], *, after: bool) -> Run:
    """The runner process, killed when the node has this request."""
    row = asked(dev)
    assert row.run is not None
    processes: list[Any] = []

    def answer_of(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        if (method, path) != write or not processes:
            return FakeNode.answer_of(dev.fake, method, path, query, headers, body)
        if after:
            answer = FakeNode.answer_of(dev.fake, method, path, query, headers, body)
        processes[0].kill()
        processes[0].wait()
        return answer if after else Answer(503)

    dev.fake.answer_of = answer_of  # type: ignore[method-assign]
    processes.append(start_runner(row.run))
    try:
        processes[0].wait(60)
    finally:
        processes[0].kill()
        processes[0].wait()
        dev.fake.answer_of = FakeNode.answer_of.__get__(dev.fake)  # type: ignore[method-assign]
    return row.run


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", [WRITES[0], pytest.param(WRITES[1], marks=pytest.mark.database), WRITES[2]])
def test_killed_runner_leaves_nothing_half_done(
    git_repo: Callable[..., GitRepo], fake_node: FakeNode, write: tuple[str, str], after: bool
) -> None:
    dev = made(git_repo, fake_node)
    before = dev.state()
    run = killed_at(dev, write, after=after)
    assert runs_reap(timezone.now(), Watch()) == 1
    run.refresh_from_db()
    assert run.state == RunState.LOST
    dev.node.refresh_from_db()
    assert dev.node.owed == Sync.objects.get(run=run)
    assert dev.node.state == NodeState.HALF
    run_clean_up(run_id=run.pk)
    dev.node.refresh_from_db()
    assert dev.node.owed is None
    assert dev.node.state == NodeState.UNKNOWN
    if write == WRITES[-1] and after:
        assert dev.fake.variables == NEW_VARIABLES  # everything had arrived: it is confirmed
        assert set(dev.fake.entities) == {"a", "s", "node"}
        assert dev.node.applied_commit == dev.repo.shas[-1]
    else:
        assert dev.state() == before
    assert owed_pay(node=dev.node)
    # The next one finds a whole node, and does it.
    assert carried_out(asked(dev)).state == RunState.SUCCEEDED
    assert set(dev.fake.entities) == {"a", "s", "node"}


@pytest.mark.django_db(transaction=True)
def test_stop_of_a_real_runner_in_the_middle_of_the_writes(
    git_repo: Callable[..., GitRepo], fake_node: FakeNode
) -> None:
    dev = made(git_repo, fake_node)
    before = dev.state()
    row = asked(dev)
    assert row.run is not None
    written, heard = threading.Event(), threading.Event()

    def answer_of(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        answer = FakeNode.answer_of(dev.fake, method, path, query, headers, body)
        if (method, path) == ("PUT", "/api/env") and not written.is_set():
            written.set()
            heard.wait(60)
        return answer

    dev.fake.answer_of = answer_of  # type: ignore[method-assign]
    with runner_of(row.run) as process:
        assert written.wait(60)
        run_stop(run=row.run, actor=OPERATOR)
        wait_until(lambda: "Stopped by" in log_text(row.run), 60)
        heard.set()
        process.wait(60)
    row.run.refresh_from_db()
    assert row.run.state == RunState.STOPPED, row.run.summary
    assert "It was undone: the node has what it had before" in row.run.summary
    assert dev.state() == before
    assert "s3cret" not in log_text(row.run)


def test_next_run_puts_right_what_a_lost_one_left(dev: Setting) -> None:
    lost = _left_by_a_kill(dev)
    row = carried_out(asked(dev))
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert "half done" in log_of(row)
    assert row.counts["variables"] == 1, "it began with the former variables"
    lost.refresh_from_db()
    assert {entry["state"] for entry in lost.journal} == {"undone"}


def test_owed_waits_while_a_run_is_at_work(dev: Setting) -> None:
    lost = _left_by_a_kill(dev)
    row = asked(dev)
    dev.node.refresh_from_db()
    assert not owed_pay(node=dev.node), "its run does it"
    assert dev.fake.variables == NEW_VARIABLES
    assert carried_out(row).state == RunState.SUCCEEDED
    lost.refresh_from_db()
    assert not [entry for entry in lost.journal if entry["state"] == "sent"]


def test_owed_leaves_alone_what_the_run_did_not_write(dev: Setting) -> None:
    _left_by_a_kill(dev)  # before the configuration
    dev.fake.put(pipe("mine", comment="by hand"))
    dev.node.refresh_from_db()
    assert owed_pay(node=dev.node)
    assert "mine" in dev.fake.entities
    assert dev.fake.variables == {"where": "https://old.example"}
    assert dev.node.snapshots.count() == 1


def test_owed_undoes_its_own_and_keeps_what_someone_else_did(dev: Setting) -> None:
    _left_with_configuration(dev)
    del dev.fake.secrets["one"]  # so not all of it has arrived
    dev.fake.put(pipe("mine", comment="by hand"), METADATA | {"task_manager": {"by": "hand"}})
    dev.fake.variables["mine"] = "by hand"
    dev.node.refresh_from_db()
    assert owed_pay(node=dev.node)
    assert set(dev.fake.entities) == {"a", "old", "node", "mine"}
    assert "description" not in dev.fake.entities["a"]
    assert dev.fake.entities["node"]["task_manager"] == {"by": "hand"}, "the sync left it alone, so the undo does"
    assert dev.fake.variables == {"where": "https://old.example", "mine": "by hand"}
    assert not dev.node.snapshots.filter(entities=5).exists(), "nothing was overwritten"


def test_owed_keeps_as_a_snapshot_what_it_overwrites(dev: Setting) -> None:
    _left_with_configuration(dev)
    dev.fake.put(pipe("a", comment="by hand"))
    dev.node.refresh_from_db()
    assert owed_pay(node=dev.node)
    assert set(dev.fake.entities) == {"a", "old", "node"}
    assert "comment" not in dev.fake.entities["a"]
    kept = configuration_of(dev.node.snapshots.first().content)
    assert kept.entities["a"].value["comment"] == "by hand"


def test_owed_is_confirmed_beside_what_someone_else_did(dev: Setting) -> None:
    _left_with_configuration(dev)
    dev.fake.put(pipe("mine", comment="by hand"))
    dev.fake.secrets["one"] = "it has arrived"
    dev.node.refresh_from_db()
    assert owed_pay(node=dev.node)
    assert set(dev.fake.entities) == {"a", "s", "node", "mine"}, "all of the sync is there: nothing is put back"
    dev.node.refresh_from_db()
    assert dev.node.applied_commit == dev.repo.shas[-1]


def test_owed_is_not_confirmed_where_secrets_are_missing(dev: Setting) -> None:
    _left_with_configuration(dev)
    del dev.fake.secrets["one"]
    dev.node.refresh_from_db()
    assert owed_pay(node=dev.node)
    assert set(dev.fake.entities) == {"a", "old", "node"}


def test_owed_is_never_paid_at_another_address(dev: Setting, fake_node_tls: FakeNode) -> None:
    _left_with_configuration(dev)
    other = fake_node_tls
    other.put(pipe("theirs"))
    node = Node.objects.get(pk=dev.node.pk)
    node.url, node.verify_tls = other.url, False
    node.save_settings()
    held = dict(other.entities)
    assert not owed_pay(node=node)
    node.refresh_from_db()
    assert node.state == NodeState.HALF
    assert dev.fake.url in node.state_detail
    assert other.entities == held, "what one node had must not go to another"
    assert not [call for call in other.requests if call[0] != "GET"]
    node.url = f"{dev.fake.url}/"  # the same address, written in another way
    node.save_settings()
    assert owed_pay(node=node)


def test_owed_is_tried_again_at_a_node_that_nobody_looks_at(dev: Setting) -> None:
    _left_by_a_kill(dev)
    Node.objects.filter(pk=dev.node.pk).update(interval=None, check_after=None)
    now = timezone.now()
    assert checks_start_due(now) == [dev.node.pk]
    dev.fake.faults.add("*", "*", "status:503", times=None)
    answered = Node.objects.get(pk=dev.node.pk).answered_at
    nodes_check(ids=[dev.node.pk])
    dev.node.refresh_from_db()
    assert dev.node.state == NodeState.HALF
    assert dev.node.answered_at == answered, "it did not answer"
    assert dev.node.check_after is not None
    assert dev.node.check_after > now + timedelta(seconds=30)
    dev.fake.faults.clear()
    Node.objects.filter(pk=dev.node.pk).update(check_after=now, check_failures=0)
    assert checks_start_due(timezone.now()) == [dev.node.pk]
    nodes_check(ids=[dev.node.pk])
    dev.node.refresh_from_db()
    assert dev.node.owed is None


def test_owed_waits_while_the_node_is_off(dev: Setting) -> None:
    _left_by_a_kill(dev)
    node_switch(node=dev.node, actor=OPERATOR, enabled=False)
    assert not owed_pay(node=dev.node)
    assert dev.fake.variables == NEW_VARIABLES
    node_switch(node=dev.node, actor=OPERATOR, enabled=True)
    assert owed_pay(node=dev.node)
    assert dev.fake.variables == {"where": "https://old.example"}


@pytest.mark.database
def test_older_debt_is_paid_after_the_newer(dev: Setting) -> None:
    first = _left_by_a_kill(dev)
    sound = first.before
    # Another run of the same node, which broke on top of what the first one had left.
    second = Sync.objects.create(
        run_number=99, node=dev.node, node_name="dev", node_url=dev.fake.url, rules=first.rules, wanted=first.wanted,
        before=configuration_keep(replace(configuration_of(sound), variables=NEW_VARIABLES)),
        journal=[{"what": "configuration", "state": "owed", "at": ""}],
    )  # fmt: skip
    Node.objects.filter(pk=dev.node.pk).update(owed=second)
    dev.fake.put(pipe("a", description="$ENV(where) $SECRET(one)"))
    dev.node.refresh_from_db()
    assert owed_pay(node=dev.node)
    dev.node.refresh_from_db()
    assert dev.node.owed is None
    assert dev.fake.variables == {"where": "https://old.example"}
    assert "description" not in dev.fake.entities["a"]
    first.refresh_from_db()
    assert {entry["state"] for entry in first.journal} == {"undone"}


def _left_with_configuration(dev: Setting) -> Sync:
    """Killed after the configuration was sent, too."""
    lost = _left_by_a_kill(dev)
    journal = [*lost.journal, {"what": "configuration", "state": "sent", "at": ""}]
    Sync.objects.filter(pk=lost.pk).update(journal=journal)
    dev.hold(pipe("a", description="$ENV(where) $SECRET(one)"), system("s"), METADATA)
    return lost


def _left_by_a_kill(dev: Setting) -> Sync:
    """A run that ended without a word when secrets and variables were sent, and the configuration was not."""
    row = asked(dev)
    works: list[Work] = []
    place = 7  # the variables are sent
    at_call(dev, place, lambda: works[0].end(STOP), after=False)
    undone = apply.undone
    apply.undone = lambda session, error: error
    try:
        carried_out(row, works.append, settle=False)
    finally:
        apply.undone = undone
        dev.fake.answer_of = FakeNode.answer_of.__get__(dev.fake)  # type: ignore[method-assign]
    row.refresh_from_db()
    assert {entry["state"] for entry in row.journal} == {"sent"}
    assert dev.fake.variables == NEW_VARIABLES
    assert Node.objects.get(pk=dev.node.pk).owed_id == row.pk
    return row
