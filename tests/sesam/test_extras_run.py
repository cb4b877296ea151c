"""A master's run and those that it feeds: repositories of their own, and nodes of the panel's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.utils import timezone

from apps.runs.knock import actor_of
from apps.runs.models import Cause, Run
from apps.runs.states import RunState
from apps.sesam.models import ExtraNode, Layout, Node, Stage, Sync
from apps.sesam.services import plan_request, sync_request
from apps.sesam.states import NodeState
from tests.fakes.sesam_node import FakeNode
from tests.sesam import multinode
from tests.sesam.engine import JWT, OPERATOR, STOP, Setting, carried_out, log_of, setting_made, steps_of, tiny_patience
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db

CUSTOMERS = multinode.pipe("customers", writes="all-customers", source={"type": "embedded", "entities": []})
ORDERS = multinode.pipe("orders", node="eidsiva", source={"type": "sql", "system": "db", "table": 'the "orders"'})
BILLING = multinode.pipe("billing", reads=["orders"])
DB = multinode.system("db", node="eidsiva")
TEMPLATES = {
    "pipe_on_extra_from_extra_to_master": {
        "_id": "##REPLACE_ID##-to-master",
        "type": "pipe",
        "source": {"type": "dataset", "dataset": "##REPLACE_ID##"},
    },
    "pipe_on_master_from_extra_to_master": {
        "_id": "##REPLACE_ID##-receiver",
        "type": "pipe",
        "source": {"type": "http_endpoint"},
    },
    "system_on_extra_from_extra_to_master": {"_id": "##REPLACE_ID##", "type": "system:url", "url_pattern": "x"},
    "node-metadata": {"_id": "node", "type": "metadata"},
}


@dataclass
class Fed:
    """`main` is the master; `conf` the repository of its extra node eidsiva."""

    main: Setting
    conf: GitRepo
    extra: ExtraNode

    def commit(self, *entities: object, subject: str = "Change") -> str:
        """The whole multi-node repository anew."""
        repo = self.main.repo
        files = multinode.repository_files(entities, TEMPLATES)  # type: ignore[arg-type]
        gone = {str(one.relative_to(repo.tree)): None for one in repo.tree.rglob("*.conf.json")}
        return repo.commit({**gone, **files}, subject)

    def files(self) -> dict[str, object]:
        """What the extra node's repository has."""
        names = self.conf.git("ls-tree", "-r", "--name-only", "main", cwd=self.conf.bare).splitlines()
        return {name: self.conf.git("show", f"main:{name}", cwd=self.conf.bare) for name in names}


@pytest.fixture
def fed(git_repo: Callable[..., GitRepo], fake_node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> Fed:
    tiny_patience(monkeypatch)
    main = setting_made(git_repo("conf"), fake_node, layout=Layout.MULTI, environment=Stage.TEST, sync_root="")
    conf = git_repo("eidsiva-conf")
    conf.commit({"README.md": "kept\n", "node/pipes/left.conf.json": "{}"})
    extra = ExtraNode.objects.create(
        master=main.node, name="eidsiva", template_path=multinode.TEMPLATES, repository=conf.declare(), branch="main"
    )
    fed = Fed(main, conf, extra)
    fed.commit(CUSTOMERS, ORDERS, BILLING, DB)
    return fed


@pytest.fixture
def other() -> object:
    """Another fake node, to be fed directly."""
    node = FakeNode()
    yield node
    node.stop()


def direct(fed: Fed, fake: FakeNode, **fields: object) -> Node:
    node = Node.objects.create(name="extra-direct", url=fake.url, jwt=JWT, **fields)
    ExtraNode.objects.filter(pk=fed.extra.pk).update(repository=None, node=node)
    return node


def test_master_publishes_the_extra_nodes_share(fed: Fed) -> None:
    row = fed.main.sync()
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert set(fed.main.fake.entities) == {"customers", "billing", "orders-receiver"}
    files = fed.files()
    assert set(files) == {
        "README.md",
        "node/pipes/orders.conf.json",
        "node/pipes/orders-to-master.conf.json",
        "node/systems/db.conf.json",
        "node/systems/dev.conf.json",
        "node/node-metadata.conf.json",
        "node/variables/variables-test.json",
    }
    assert json.loads(str(files["node/pipes/orders.conf.json"]))["source"]["table"] == 'the "orders"'
    assert json.loads(str(files["node/variables/variables-test.json"])) == {"base": "https://base"}
    message = fed.conf.git("log", "-1", "--format=%B", "main", cwd=fed.conf.bare)
    assert row.commit in message
    [entry] = row.extras
    assert (entry["name"], entry["way"], entry["state"], entry["changed"]) == (
        "eidsiva",
        "repository",
        "succeeded",
        True,
    )
    [replica] = [one for one in entry["replicas"] if one["id"] == "orders-to-master"]
    assert replica["inbound"] == "orders"
    assert steps_of(row)["extra nodes"] == "succeeded"


def test_nothing_new_is_not_pushed_again(fed: Fed) -> None:
    fed.main.sync()
    tip = fed.conf.git("rev-parse", "main", cwd=fed.conf.bare)
    fed.commit({**CUSTOMERS, "batch_size": 3}, ORDERS, BILLING, DB)
    row = fed.main.sync()
    assert row.state == RunState.SUCCEEDED
    assert not row.no_change
    assert fed.conf.git("rev-parse", "main", cwd=fed.conf.bare) == tip
    assert row.extras[0]["changed"] is False
    assert fed.main.sync().no_change


def test_another_environments_variables_stay(fed: Fed) -> None:
    """The masters of test and prod may publish to one branch."""
    theirs = '{"base": "https://prod"}'
    fed.conf.commit({"node/variables/variables-prod.json": theirs, "node/variables/sub/variables-old.json": "{}"})
    row = fed.main.sync()
    assert row.state == RunState.SUCCEEDED, log_of(row)
    files = fed.files()
    assert files["node/variables/variables-prod.json"] == theirs
    assert "node/variables/variables-test.json" in files
    assert not {"node/pipes/left.conf.json", "node/variables/sub/variables-old.json"} & files.keys()
    tip = fed.conf.git("rev-parse", "main", cwd=fed.conf.bare)
    fed.main.sync(resend_secrets=True)
    assert fed.conf.git("rev-parse", "main", cwd=fed.conf.bare) == tip


def test_share_that_alone_changed_is_published(fed: Fed) -> None:
    fed.main.sync()
    fed.commit(CUSTOMERS, {**ORDERS, "batch_size": 9}, BILLING, DB)
    row = fed.main.sync()
    assert row.no_change, log_of(row)
    assert row.extras[0]["changed"] is True
    assert json.loads(str(fed.files()["node/pipes/orders.conf.json"]))["batch_size"] == 9


def test_push_that_fails_fails_the_run_and_says_what_the_master_has(fed: Fed) -> None:
    away = fed.conf.bare.rename(fed.conf.bare.with_suffix(".away"))
    row = fed.main.sync()
    assert row.state == RunState.FAILED
    assert "dev itself has" in row.run.summary
    assert "eidsiva" in row.run.summary
    assert "customers" in fed.main.fake.entities
    fed.main.node.refresh_from_db()
    assert fed.main.node.applied_commit == row.commit
    assert fed.main.node.state == NodeState.IN_SYNC
    assert row.extras[0]["state"] == "failed"
    away.rename(fed.conf.bare)
    row = fed.main.sync()
    assert row.state == RunState.SUCCEEDED
    assert row.extras[0]["changed"] is True


def test_plan_pushes_nothing_and_tells_what_would_be(fed: Fed) -> None:
    tip = fed.conf.git("rev-parse", "main", cwd=fed.conf.bare)
    row = carried_out(plan_request(node=fed.main.node, actor=OPERATOR, cause=Cause.PERSON))
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert fed.conf.git("rev-parse", "main", cwd=fed.conf.bare) == tip
    assert "6 added" in row.extras[0]["result"]
    assert fed.main.fake.writes == []


def test_missing_template_value_fails_before_anything(fed: Fed) -> None:
    files = multinode.repository_files(
        [CUSTOMERS, ORDERS, BILLING, DB],
        {**TEMPLATES, "pipe_on_extra_from_extra_to_master": {"_id": "##INBOUND_PARENT_PIPE.no.way##", "type": "pipe"}},
    )
    fed.main.repo.commit(files)
    row = fed.main.sync()
    assert row.state == RunState.FAILED
    assert "no.way" in log_of(row)
    assert fed.main.fake.requests == []


def test_direct_extra_node_gets_a_run_of_its_own(fed: Fed, other: FakeNode) -> None:
    node = direct(fed, other)
    row = fed.main.sync()
    assert row.state == RunState.SUCCEEDED, log_of(row)
    run = Run.objects.get(subject_id=node.pk)
    assert row.extras[0]["run"] == run.pk
    assert actor_of(run) == actor_of(row.run)
    assert run.sync.commit == row.commit
    follow = carried_out(run.sync)
    assert follow.state == RunState.SUCCEEDED, log_of(follow)
    assert set(other.entities) == {"orders", "orders-to-master", "db", "dev", "node"}
    node.refresh_from_db()
    assert node.applied_commit == row.commit
    assert node.state == NodeState.IN_SYNC


def test_direct_extra_node_can_be_planned_and_synced_by_itself(fed: Fed, other: FakeNode) -> None:
    node = direct(fed, other)
    row = carried_out(plan_request(node=node, actor=OPERATOR, cause=Cause.PERSON))
    assert row.counts["new"] == 5, log_of(row)
    row = carried_out(sync_request(node=node, actor=OPERATOR, cause=Cause.PERSON))
    assert row.state == RunState.SUCCEEDED
    assert set(other.entities) == {"orders", "orders-to-master", "db", "dev", "node"}


def test_direct_extra_node_at_work_follows_afterwards(fed: Fed, other: FakeNode) -> None:
    node = direct(fed, other)
    older = fed.main.repo.shas[-1]
    busy = sync_request(node=node, actor=OPERATOR, cause=Cause.PERSON, commit=older)
    newer = fed.commit(CUSTOMERS, {**ORDERS, "batch_size": 9}, BILLING, DB)
    row = fed.main.sync()
    assert row.state == RunState.SUCCEEDED
    assert f"#{busy.run_number}" in row.extras[0]["result"]
    carried_out(busy)
    follow = Sync.objects.filter(node=node).first()
    assert follow is not None
    assert follow.commit == newer
    assert carried_out(follow).state == RunState.SUCCEEDED
    assert other.entities["orders"]["batch_size"] == 9


@pytest.mark.parametrize(
    ("fields", "word"),
    [({"enabled": False}, "is off"), ({"auto_paused_at": timezone.now(), "auto_paused_reason": "Night"}, "paused")],
)
def test_direct_extra_node_that_may_not_is_told(
    fed: Fed, other: FakeNode, fields: dict[str, object], word: str
) -> None:
    node = direct(fed, other, **fields)
    row = carried_out(sync_request(node=fed.main.node, actor=OPERATOR, cause=Cause.PUSH))
    assert row.state == RunState.SUCCEEDED
    assert word in row.extras[0]["result"]
    assert not Run.objects.filter(subject_id=node.pk).exists()


def test_stop_after_the_master_leaves_its_extra_nodes_and_says_so(fed: Fed) -> None:
    fake = fed.main.fake
    works: list[object] = []

    def answer_of(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> object:
        answer = FakeNode.answer_of(fake, method, path, query, headers, body)
        if (method, path) == ("PUT", "/api/config"):
            works[0].end(STOP)  # type: ignore[attr-defined]
        return answer

    fake.answer_of = answer_of  # type: ignore[assignment, method-assign]
    row = carried_out(sync_request(node=fed.main.node, actor=OPERATOR, cause=Cause.PERSON), works.append)
    assert row.state == RunState.STOPPED
    assert "its extra nodes were not fed" in row.run.summary.lower()
    fed.main.node.refresh_from_db()
    assert fed.main.node.applied_commit == row.commit
    assert {entry["state"] for entry in row.journal} == {"done"}
