"""One node's check: what it asks, what it makes of the answers, and what it starts. Real Git, real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.access.models import AuditEntry
from apps.repos.models import Repository
from apps.repos.services import repository_fetch
from apps.runs import process
from apps.runs.models import Run
from apps.runs.states import RunState
from apps.sesam.models import ExtraNode, Node, Sync
from apps.sesam.services.check import nodes_check
from apps.sesam.services.check_apply import may_try
from apps.sesam.services.check_due import LONGEST_PAUSE, pause_of
from apps.sesam.states import NodeState
from tests.fakes.sesam_node import FakeNode
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db
Factory = Callable[..., GitRepo]
CONFIG = ("GET", "/api/config")


def pipe(name: str, **more: Any) -> dict[str, Any]:
    return {"_id": name, "type": "pipe", "source": {"type": "dataset", "dataset": f"{name}-in"}} | more


def files(*entities: dict[str, Any]) -> dict[str, str]:
    return {f"node/{one['type'].split(':')[0]}s/{one['_id']}.conf.json": json.dumps(one, indent=2) for one in entities}


@dataclass
class Watched:
    """A node that has what Git has, with ways to change either side."""

    fake: FakeNode
    repo: GitRepo
    repository: Repository
    node: Node
    asked: list[list[str]] = field(default_factory=list)  # what Git was called for

    def commit(
        self, *entities: dict[str, Any], more: Mapping[str, str | None] | None = None, fetched: bool = True
    ) -> str:
        sha = self.repo.commit({**files(*entities), **(more or {})})
        if fetched:
            repository_fetch(repository=self.repository)
        self.forget()
        return sha

    def forget(self) -> None:
        self.asked.clear()
        self.fake.forget()

    def check(self) -> Node:
        """One check; the node's row afterwards."""
        nodes_check(ids=[self.node.pk])
        return self.fresh()

    def fresh(self) -> Node:
        self.node = Node.objects.get(pk=self.node.pk)
        assert self.node.check_claimed_at is None
        return self.node

    def set(self, **fields: Any) -> None:
        Node.objects.filter(pk=self.node.pk).update(**fields)

    @property
    def looks(self) -> list[str]:
        """Git's commands that reach a server."""
        return [word for argv in self.asked for word in argv if word in {"ls-remote", "fetch", "clone"}]


@pytest.fixture
def watched(fake_node: FakeNode, git_repo: Factory, monkeypatch: pytest.MonkeyPatch) -> Watched:
    repo = git_repo("conf")
    entities = [pipe("a"), pipe("b"), {"_id": "s", "type": "system:url", "base_url": "https://x.example"}]
    repo.commit(files(*entities))
    repository = repo.declare()
    repository_fetch(repository=repository)
    fake_node.put(*entities)
    node = Node(name="dev", url=fake_node.url, jwt=fake_node.jwt, repository=repository, sync_root="node")
    node.full_clean()
    node.save()
    found = Watched(fake_node, repo, repository, node)
    run = process.run

    def counted(argv: list[str], **options: Any) -> process.Completed:
        found.asked.append(list(argv))
        return run(argv, **options)

    monkeypatch.setattr(process, "run", counted)
    return found


def test_a_node_that_has_what_git_has_is_in_sync(watched: Watched) -> None:
    node = watched.check()
    assert node.state == NodeState.IN_SYNC, node.state_detail
    assert node.applied_commit == node.seen_commit == watched.repo.shas[-1]
    assert node.check_failures == 0
    assert node.answered_at is not None
    assert AuditEntry.objects.filter(action="find in sync", subject="dev").count() == 1
    assert not Run.objects.exists()
    assert watched.fake.writes == []


def test_nothing_new_costs_one_look_and_one_question(watched: Watched) -> None:
    watched.check()
    watched.forget()
    before = watched.node.state_since
    node = watched.check()
    assert watched.looks == ["ls-remote"]
    assert len(watched.asked) == 1  # and no command of Git's that reads the mirror
    assert watched.fake.requests == [CONFIG]
    assert [one.status for one in watched.fake.log[-1:]] == [304]
    assert (node.state, node.state_since) == (NodeState.IN_SYNC, before)
    assert AuditEntry.objects.filter(action="find in sync").count() == 1


def test_a_node_without_etags_is_downloaded_once_and_not_compared(watched: Watched) -> None:
    watched.fake.etags = False
    watched.check()
    watched.forget()
    assert watched.check().state == NodeState.IN_SYNC
    assert watched.fake.requests == [CONFIG]
    assert len(watched.asked) == 1


def test_a_polled_repository_is_not_asked(watched: Watched) -> None:
    refs = {"refs/heads/main": watched.repo.shas[-1]}
    Repository.objects.update(poll_interval=60, polled_at=timezone.now(), polled_refs=refs)
    assert watched.check().state == NodeState.IN_SYNC
    assert watched.looks == []
    Repository.objects.update(polled_at=timezone.now() - timedelta(minutes=5))
    watched.check()
    assert watched.looks == ["ls-remote"]


def test_what_git_moved_on_to_is_behind_and_starts_nothing_by_hand(watched: Watched) -> None:
    watched.check()
    watched.commit(pipe("a", pump={"schedule_interval": 5}), pipe("c"))
    node = watched.check()
    assert node.state == NodeState.BEHIND
    assert "1 new, 1 changed" in node.state_detail
    assert not Run.objects.exists()
    watched.forget()
    assert watched.check().state == NodeState.BEHIND
    assert len(watched.asked) == 1
    assert [one.status for one in watched.fake.log[-1:]] == [304]


@pytest.mark.parametrize(("mode", "runs"), [("manual", 0), ("push", 0), ("schedule", 1), ("heal", 1)])
def test_who_applies_what_is_new(watched: Watched, mode: str, runs: int) -> None:
    watched.check()
    watched.set(apply_mode=mode)
    sha = watched.commit(pipe("c"))
    assert watched.check().state == NodeState.BEHIND
    assert list(Sync.objects.values_list("commit", "action")) == [(sha, "sync")] * runs


@pytest.mark.parametrize(("mode", "runs"), [("manual", 0), ("push", 0), ("schedule", 0), ("heal", 1)])
def test_who_heals_what_drifted(watched: Watched, mode: str, runs: int) -> None:
    watched.check()
    watched.set(apply_mode=mode)
    watched.fake.put(pipe("a", source={"type": "empty"}))
    assert watched.check().state == NodeState.DRIFTED
    assert Run.objects.count() == runs


def test_a_pause_holds_it_back(watched: Watched) -> None:
    watched.check()
    watched.set(apply_mode="heal", auto_paused_at=timezone.now(), auto_paused_reason="We look into it.")
    watched.commit(pipe("c"))
    assert watched.check().state == NodeState.BEHIND
    assert not Run.objects.exists()


def test_a_commit_that_changes_nothing_here_only_moves_on(watched: Watched) -> None:
    first = watched.check().applied_commit
    sha = watched.commit(more={"README.md": "hello\n"})
    node = watched.check()
    assert (node.state, node.applied_commit) == (NodeState.IN_SYNC, sha)
    moved = AuditEntry.objects.filter(action="find in sync").latest("id")
    assert moved.detail == {"commit": sha, "before": first}


def test_drift_is_told_from_news_by_what_was_applied(watched: Watched) -> None:
    watched.check()
    watched.set(apply_mode="schedule")
    watched.fake.put(pipe("a", source={"type": "empty"}))
    watched.commit(more={"README.md": "hello\n"})
    assert watched.check().state == NodeState.DRIFTED
    assert not Run.objects.exists()


def test_formatting_is_no_change(watched: Watched) -> None:
    watched.check()
    text = '{"type":"pipe",\n\n"source":{"dataset":"a-in","type":"dataset"},"_id":"a"}'
    watched.commit(more={"node/pipes/a.conf.json": text})
    assert watched.check().state == NodeState.IN_SYNC


def test_files_that_cannot_be_applied_are_named(watched: Watched) -> None:
    watched.check()
    watched.set(apply_mode="heal")
    watched.commit(more={"node/pipes/c.conf.json": "{"})
    node = watched.check()
    assert node.state == NodeState.BROKEN
    assert "node/pipes/c.conf.json" in node.state_detail
    assert not Run.objects.exists()
    watched.forget()
    assert watched.check().state == NodeState.BROKEN
    assert len(watched.asked) == 1
    watched.commit(more={"node/pipes/c.conf.json": json.dumps(pipe("c"))})
    assert watched.check().state == NodeState.BEHIND
    assert Run.objects.count() == 1


def test_missing_variables_are_told_before_a_run(watched: Watched) -> None:
    watched.set(verify=["variables"], variables_files=["variables.json"], apply_mode="schedule")
    watched.commit(pipe("c", url="$ENV(nowhere)"), more={"node/variables.json": "{}"})
    node = watched.check()
    assert node.state == NodeState.BROKEN
    assert "nowhere" in node.state_detail
    assert "node/pipes/c.conf.json" in node.state_detail


def test_the_guard_asks_before_a_run_is_started(watched: Watched) -> None:
    watched.check()
    watched.set(apply_mode="schedule", removal_limit=0, removal_share=0)
    watched.repo.commit({"node/pipes/a.conf.json": None})
    repository_fetch(repository=watched.repository)
    for _ in range(2):
        node = watched.check()
        assert node.state == NodeState.ASKS
        assert [question["kind"] for question in node.questions] == ["removals"]
        assert not Run.objects.exists()


def test_variables_and_secrets_count_when_they_are_uploaded(watched: Watched) -> None:
    watched.set(upload=["variables"], variables_files=["variables.json"])
    watched.commit(more={"node/variables.json": '{"a": 1}'})
    watched.fake.variables = {"a": 1}
    assert watched.check().state == NodeState.IN_SYNC
    watched.forget()
    watched.check()
    assert sorted(watched.fake.requests) == [CONFIG, ("GET", "/api/env")]
    watched.fake.variables = {"a": 2}
    assert watched.check().state == NodeState.DRIFTED
    watched.fake.variables = {"a": 1.0}
    assert watched.check().state == NodeState.IN_SYNC


def test_changed_settings_are_compared_anew(watched: Watched) -> None:
    watched.check()
    watched.fake.put(pipe("watcher"))
    assert watched.check().state == NodeState.DRIFTED
    watched.node.protected = ["watcher"]
    watched.node.save_settings()
    assert watched.fresh().check_after is None
    assert watched.check().state == NodeState.IN_SYNC


def test_a_silent_node_is_unreachable_and_the_pauses_grow(watched: Watched) -> None:
    watched.check()
    port, entities = watched.fake.port, watched.fake.entities
    watched.fake.stop()
    pauses = []
    for failures in (1, 2, 3):
        node = watched.check()
        assert (node.state, node.check_failures) == (NodeState.UNREACHABLE, failures)
        assert node.state_detail
        assert node.check_after is not None
        assert node.checked_at is not None
        pauses.append(round((node.check_after - node.checked_at).total_seconds() / 60))
    assert pauses == [1, 2, 4]
    again = FakeNode(port)
    again.entities = entities
    try:
        node = watched.check()
    finally:
        again.stop()
    assert (node.state, node.check_failures) == (NodeState.IN_SYNC, 0)


@pytest.mark.parametrize("kind", ["status:401", "status:403", "html_502", "half_body", "reset_before"])
def test_answers_that_are_none(watched: Watched, kind: str) -> None:
    watched.check()
    watched.set(compared="")  # else it would only say that nothing has changed
    watched.fake.faults.add("GET", "/api/config", kind, times=9)
    node = watched.check()
    assert node.state == NodeState.UNREACHABLE
    assert watched.fake.jwt not in node.state_detail
    watched.fake.faults.clear()
    assert watched.check().state == NodeState.IN_SYNC


def test_a_branch_that_is_gone(watched: Watched) -> None:
    watched.repo.branch("other")
    watched.repo.commit({"x": "1\n"})
    watched.set(branch="other")
    repository_fetch(repository=watched.repository)
    assert watched.check().state == NodeState.IN_SYNC
    watched.repo.delete("other")
    node = watched.check()
    assert node.state == NodeState.BROKEN
    assert "gone" in node.state_detail
    watched.repo.push("other")
    assert watched.check().state == NodeState.IN_SYNC


def test_a_tag_is_followed_to_its_commit(watched: Watched) -> None:
    watched.repo.tag("v1", "Version 1")
    watched.set(branch="v1")
    repository_fetch(repository=watched.repository)
    node = watched.check()
    assert (node.state, node.seen_commit) == (NodeState.IN_SYNC, watched.repo.shas[-1])


def test_a_repository_that_does_not_answer(watched: Watched) -> None:
    watched.check()
    away = watched.repo.bare.with_suffix(".away")
    watched.repo.bare.rename(away)
    node = watched.check()
    assert (node.state, node.check_failures) == (NodeState.BROKEN, 1)
    assert "repository" in node.state_detail
    away.rename(watched.repo.bare)
    node = watched.check()
    assert (node.state, node.check_failures) == (NodeState.IN_SYNC, 0)


def test_a_commit_that_is_not_fetched_yet_is_waited_for(watched: Watched, rings: list[tuple[Any, ...]]) -> None:
    watched.check()
    watched.commit(pipe("c"), fetched=False)
    node = watched.check()
    assert node.state == NodeState.IN_SYNC  # nobody knows better yet
    assert watched.fake.requests == []
    assert rings == [("apps.repos.tasks.fetch", watched.repository.pk)]
    assert node.check_after is not None
    assert node.check_after - timezone.now() < timedelta(seconds=3)
    repository_fetch(repository=watched.repository)
    assert watched.check().state == NodeState.BEHIND


def test_a_mirror_that_is_missing_is_fetched(watched: Watched, rings: list[tuple[Any, ...]]) -> None:
    from django.conf import settings

    for mirror in settings.MIRROR_DIR.glob("*.git"):
        mirror.rename(mirror.with_suffix(".away"))
    node = watched.check()
    assert node.state == NodeState.UNKNOWN
    assert len(rings) == 1
    repository_fetch(repository=watched.repository)
    assert watched.check().state == NodeState.IN_SYNC


def test_a_run_at_work_is_left_alone(watched: Watched) -> None:
    watched.check()
    watched.set(apply_mode="heal")
    watched.commit(pipe("c"))
    watched.check()
    run = Run.objects.get()
    watched.fake.stop()
    assert watched.check().state == NodeState.BEHIND  # what the check saw is not kept
    run.state, run.ended_at = RunState.SUCCEEDED, timezone.now()
    run.save()
    assert watched.check().state == NodeState.UNREACHABLE


def test_the_same_is_not_tried_again_and_again(watched: Watched) -> None:
    watched.check()
    watched.set(apply_mode="schedule")
    watched.commit(pipe("c"))
    watched.check()
    for tries, pause in ((1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (9, 60)):
        Run.objects.update(state=RunState.FAILED, ended_at=timezone.now() - timedelta(hours=2))
        count = Run.objects.count()
        watched.set(tries=tries)
        watched.check()
        assert Run.objects.count() == count
        node = watched.fresh()
        assert node.tried_at is not None
        assert not may_try(node, node.tried, node.tried_at + timedelta(minutes=pause, seconds=-1))
        assert may_try(node, node.tried, node.tried_at + timedelta(minutes=pause))
        assert may_try(node, "anything else", node.tried_at)
    watched.set(tried_at=timezone.now() - timedelta(hours=1))
    watched.check()
    assert Run.objects.count() == 2
    assert watched.fresh().tries == 10


def test_what_changes_is_tried_at_once(watched: Watched) -> None:
    watched.check()
    watched.set(apply_mode="schedule")
    watched.commit(pipe("c"))
    watched.check()
    Run.objects.update(state=RunState.FAILED, ended_at=timezone.now() - timedelta(hours=2))
    watched.commit(pipe("d"))
    watched.check()
    assert Run.objects.count() == 2
    assert watched.fresh().tries == 1


def test_a_fed_node_follows_its_master(watched: Watched, git_repo: Factory) -> None:
    repo = git_repo("multi")
    repo.commit({"node/pipes/m.conf.json": json.dumps(pipe("m")), "extra_nodes/x/node-metadata.conf.json": "{}"})
    repository = repo.declare()
    repository_fetch(repository=repository)
    master = Node.objects.create(
        name="main", url="http://127.0.0.1:1/api", jwt="x", repository=repository, layout="multi",
        variables_files=["none"], whitelist_file="none",
    )  # fmt: skip
    watched.set(repository=None, sync_root="")
    ExtraNode.objects.create(master=master, name="x", template_path="extra_nodes/x/", node=watched.node)
    node = watched.check()
    assert node.seen_commit == repo.shas[-1]
    assert node.state != NodeState.UNREACHABLE


def test_nothing_to_follow_is_said(watched: Watched) -> None:
    watched.set(repository=None)
    node = watched.check()
    assert node.state == NodeState.BROKEN
    assert "follows no repository" in node.state_detail


@pytest.mark.parametrize(
    ("interval", "failures", "pause"),
    [(60, 1, 60), (60, 2, 120), (60, 4, 480), (60, 5, LONGEST_PAUSE), (60, 99, LONGEST_PAUSE), (5, 8, LONGEST_PAUSE),
     (3600, 1, 3600), (3600, 7, 3600), (60, 0, 60), (10**12, 9, 30 * 24 * 3600)],
)  # fmt: skip
def test_pauses(interval: int, failures: int, pause: float) -> None:
    assert pause_of(Node(interval=interval), failures) == pause


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr("apps.repos.services.fetch.ring", lambda *a: found.append(a))
    return found
