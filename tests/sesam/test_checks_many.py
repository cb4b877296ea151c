"""Many nodes: who is due, who claims, what a look at one repository serves, and who holds up whom."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from apps.repos.models import Repository
from apps.repos.services import repository_fetch
from apps.runs import process
from apps.runs.models import Cause, Run
from apps.runs.services import run_request
from apps.runs.states import RunState
from apps.sesam.models import Node
from apps.sesam.patience import Patience
from apps.sesam.services import check_due
from apps.sesam.services.check import nodes_check
from apps.sesam.services.check_due import VOID, check_start, checks_start_due
from apps.sesam.states import NodeState
from tests.fakes.sesam_node import FakeNode
from tests.fakes.wire import Answer
from tests.support.gitrepo import GitRepo
from tests.support.runner import OPERATOR, wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.database]
Factory = Callable[..., GitRepo]
ENTITY = {"_id": "a", "type": "pipe"}


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The nodes of each task that was rung for."""
    found: list[list[int]] = []
    monkeypatch.setattr(check_due, "ring", lambda _path, *ids, timeout: found.append(list(ids)))
    return found


@pytest.fixture
def conf(git_repo: Factory) -> Repository:
    repo = git_repo("conf")
    repo.commit({"pipes/a.conf.json": json.dumps(ENTITY)})
    repository = repo.declare()
    repository_fetch(repository=repository)
    return repository


def node_of(repository: Repository | None, name: str = "dev", **fields: Any) -> Node:
    given = {"url": "http://127.0.0.1:1/api", "jwt": "x", "repository": repository} | fields
    return Node.objects.create(name=name, **given)


def ago(seconds: float) -> Any:
    return timezone.now() - timedelta(seconds=seconds)


def test_who_is_due(conf: Repository, rings: list[list[int]]) -> None:
    now = timezone.now()
    fresh = node_of(conf, "fresh")
    over = node_of(None, "over", check_after=now)
    asked = node_of(None, "asked", interval=None, check_after=now)
    node_of(None, "never", interval=None)
    node_of(None, "later", check_after=now + timedelta(seconds=30))
    node_of(None, "off", enabled=False)
    node_of(conf, "ci", layout="multi", environment="ci")
    node_of(None, "claimed", check_claimed_at=now - VOID / 2)
    void = node_of(None, "void", check_claimed_at=now - VOID * 2)
    assert sorted(checks_start_due(now)) == sorted(node.pk for node in (fresh, over, asked, void))
    assert checks_start_due(now) == []
    assert len(rings) == 1


def test_a_node_with_a_run_at_work_is_not_due(conf: Repository, rings: list[list[int]]) -> None:
    node = node_of(conf)
    run = run_request(kind="sync", subject=node, actor=OPERATOR, cause=Cause.COMMAND, params={})
    assert checks_start_due(timezone.now()) == []
    Run.objects.filter(pk=run.pk).update(state=RunState.FAILED)
    assert checks_start_due(timezone.now()) == [node.pk]


def test_nodes_of_a_repository_go_together(conf: Repository, rings: list[list[int]]) -> None:
    now = timezone.now()
    due = node_of(conf, "due", check_after=now)
    along = node_of(conf, "along", check_after=now + timedelta(seconds=4))
    node_of(conf, "quick", interval=8, check_after=now + timedelta(seconds=4))
    node_of(None, "other", check_after=now + timedelta(seconds=4))
    assert checks_start_due(now) == [due.pk, along.pk]


def test_silent_nodes_have_a_task_of_their_own(conf: Repository, rings: list[list[int]]) -> None:
    now = timezone.now()
    slow = [node_of(None, f"slow{number}", check_failures=3).pk for number in range(3)]
    quick = [node_of(None, f"quick{number}").pk for number in range(3)]
    checks_start_due(now)
    assert rings == [quick, slow]
    late = node_of(None, "late", check_failures=1)
    checks_start_due(now + timedelta(seconds=1))
    assert len(rings) == 2  # the first is not done: silent nodes hold one worker at most
    Node.objects.filter(pk__in=slow).update(check_claimed_at=None, check_after=now + timedelta(minutes=9))
    checks_start_due(now + timedelta(seconds=2))
    assert rings[2:] == [[late.pk]]


def test_few_tasks_at_a_time(rings: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_due, "BATCH", 2)
    monkeypatch.setattr(settings, "WORKERS", 4)
    now = timezone.now()
    for number in range(9):
        node_of(None, f"n{number}")
    for second in range(5):
        checks_start_due(now + timedelta(seconds=second))
    assert [len(task) for task in rings] == [2, 2]
    monkeypatch.setattr(settings, "WORKERS", 1)
    Node.objects.update(check_claimed_at=None)
    rings.clear()
    for second in range(5):
        checks_start_due(now + timedelta(seconds=second))
    assert [len(task) for task in rings] == [2]


def test_switching_off_and_on_is_told_at_once(conf: Repository, rings: list[list[int]]) -> None:
    node = node_of(conf, enabled=False, state=NodeState.IN_SYNC)
    checks_start_due(timezone.now())
    node.refresh_from_db()
    assert node.state == NodeState.OFF
    Node.objects.update(enabled=True, interval=None)
    checks_start_due(timezone.now())
    node.refresh_from_db()
    assert node.state == NodeState.UNKNOWN
    assert rings == []


def test_a_look_asked_for_is_one_task(conf: Repository, rings: list[list[int]]) -> None:
    node = node_of(conf, interval=None)
    check_start(node=node)
    check_start(node=node)
    assert checks_start_due(timezone.now()) == []
    assert rings == [[node.pk]]


@pytest.mark.django_db(transaction=True)
def test_two_clocks_at_once_claim_each_node_once(conf: Repository, rings: list[list[int]]) -> None:
    for number in range(20):
        node_of(None, f"n{number}")
    ready = threading.Barrier(2)

    def tick() -> None:
        ready.wait()
        try:
            for _ in range(5):
                checks_start_due(timezone.now())
        finally:
            connection.close()

    clocks = [threading.Thread(target=tick) for _ in range(2)]
    for clock in clocks:
        clock.start()
    for clock in clocks:
        clock.join()
    claimed = [pk for task in rings for pk in task]
    assert len(claimed) == len(set(claimed)) == 20


@pytest.fixture
def fakes() -> Iterator[Callable[[], FakeNode]]:
    made: list[FakeNode] = []

    def make() -> FakeNode:
        made.append(FakeNode())
        made[-1].put(ENTITY)
        return made[-1]

    yield make
    for fake in made:
        fake.stop()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Questions to Git servers."""
    found: list[list[str]] = []
    run = process.run

    def counted(argv: list[str], **options: Any) -> process.Completed:
        found.extend([list(argv)] if "ls-remote" in argv else [])
        return run(argv, **options)

    monkeypatch.setattr(process, "run", counted)
    return found


@pytest.mark.django_db(transaction=True)
def test_one_look_serves_all_nodes_of_a_repository(
    conf: Repository, fakes: Callable[[], FakeNode], looks: list[list[str]]
) -> None:
    nodes = []
    for number in range(4):
        fake = fakes()
        nodes.append(node_of(conf, f"n{number}", url=fake.url, jwt=fake.jwt, branch="main" if number else "gone"))
    assert nodes_check(ids=[node.pk for node in nodes]) == 4
    assert len(looks) == 1
    states = list(Node.objects.order_by("name").values_list("state", flat=True))
    assert states == [NodeState.BROKEN, *[NodeState.IN_SYNC] * 3]


@pytest.mark.django_db(transaction=True)
def test_a_look_of_a_moment_ago_serves_too(
    conf: Repository, fakes: Callable[[], FakeNode], looks: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.sesam.services.check_look.LOOKED_AT", timedelta(minutes=1))
    first, second = fakes(), fakes()
    one = node_of(conf, "one", url=first.url, jwt=first.jwt)
    other = node_of(conf, "other", url=second.url, jwt=second.jwt)
    nodes_check(ids=[one.pk])
    nodes_check(ids=[other.pk])
    assert len(looks) == 1
    Node.objects.filter(pk=one.pk).update(checked_at=ago(61))
    nodes_check(ids=[other.pk])
    assert len(looks) == 2


@pytest.mark.django_db(transaction=True)
def test_silent_nodes_do_not_hold_up_the_others(
    conf: Repository, fakes: Callable[[], FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.sesam.services.check_look.PATIENCE", Patience(read=90, total=90, tries=1, limit=90))
    others_done, in_time = threading.Event(), list[bool]()

    def silent(*_: Any) -> Answer:
        in_time.append(others_done.wait(60))
        return Answer(503)

    nodes = []
    for number in range(6):
        fake = fakes()
        if number < 3:
            monkeypatch.setattr(fake, "answer_of", silent)
        nodes.append(node_of(conf, f"n{number}", url=fake.url, jwt=fake.jwt))

    def watch() -> None:
        try:
            wait_until(lambda: Node.objects.filter(state=NodeState.IN_SYNC).count() == 3, 60)
            others_done.set()
        finally:
            connection.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    nodes_check(ids=[node.pk for node in nodes])
    watcher.join()
    assert in_time == [True] * 3
    assert Node.objects.filter(state=NodeState.UNREACHABLE, check_failures=1).count() == 3


@pytest.mark.django_db(transaction=True)
def test_who_is_not_reached_in_time_comes_next(
    conf: Repository, fakes: Callable[[], FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.sesam.services.check.TIME_FOR_ALL", 0.0)
    fake = fakes()
    nodes = [node_of(conf, f"n{number}", url=fake.url, jwt=fake.jwt) for number in range(2)]
    assert nodes_check(ids=[node.pk for node in nodes]) == 0
    assert fake.requests == []
    for node in Node.objects.all():
        assert node.check_claimed_at is None
        assert node.state == NodeState.UNKNOWN
        assert node.check_after is not None
        assert node.check_after <= timezone.now()


def test_a_failure_of_the_panels_own_stays_with_its_node(
    conf: Repository, fakes: Callable[[], FakeNode], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake = fakes()
    node = node_of(conf, url=fake.url, jwt=fake.jwt)

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("apps.sesam.services.check_judge.plan_made", broken)
    nodes_check(ids=[node.pk])
    node.refresh_from_db()
    assert (node.state, node.check_failures, node.check_claimed_at) == (NodeState.BROKEN, 1, None)
    assert "ZeroDivisionError" in caplog.text


def test_a_task_that_comes_again_finds_nothing_wrong(conf: Repository, fakes: Callable[[], FakeNode]) -> None:
    fake = fakes()
    node = node_of(conf, url=fake.url, jwt=fake.jwt)
    nodes_check(ids=[node.pk, 999_999])
    nodes_check(ids=[node.pk])
    Node.objects.update(enabled=False)
    nodes_check(ids=[node.pk])
    assert len(fake.requests) == 2
