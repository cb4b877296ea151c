"""A multi-node repository carried out whole: the master's node, an extra node's repository, a node fed directly."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from apps.repos import mirror, services
from apps.runs.models import Cause
from apps.runs.states import RunState
from apps.sesam.models import ExtraNode, Node, Sync
from apps.sesam.services import plan_request
from apps.sesam.services.check import nodes_check
from apps.sesam.states import NodeState
from tests.fakes.sesam_node import FakeNode
from tests.sesam.engine import OPERATOR, Setting, carried_out, log_of, setting_made, tiny_patience
from tests.sesam.multinode import TEMPLATES, pipe, repository_files, system
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db
Factory = Callable[..., GitRepo]

ROOT = "template_node_root_folder"
TEMPLATE: dict[str, Any] = {
    "pipe_on_master_from_extra_to_master": {
        "_id": "##REPLACE_ID##",
        "type": "pipe",
        "source": {"type": "http_endpoint"},
        "metadata": {"for": "##OUTBOUND_PARENT_PIPE._id##"},
    },
    "pipe_on_extra_from_extra_to_master": {
        "_id": "##REPLACE_ID##-to-master",
        "type": "pipe",
        "source": {"type": "dataset", "dataset": "##REPLACE_ID##"},
    },
    "system_on_extra_from_extra_to_master": {"_id": "##REPLACE_ID##", "type": "system:url", "url": "$ENV(master-url)"},
    "node-metadata": {"_id": "node", "type": "metadata"},
}
OWN = {"type": "embedded", "entities": []}
ORDERS, BILLING = pipe("orders", node="eidsiva", source=OWN), pipe("billing", reads=["orders"])
VARIABLES = {"base": "https://base", "master-url": "https://master"}


@pytest.fixture
def master(git_repo: Factory, fake_node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> Setting:
    tiny_patience(monkeypatch)
    setting = setting_made(
        git_repo("conf"), fake_node, layout="multi", sync_root=ROOT, upload=["variables"], verify=["variables"]
    )
    commit(setting, ORDERS, BILLING, system("crm"))
    return setting


def commit(setting: Setting, *entities: dict[str, Any]) -> str:
    files = repository_files(entities, TEMPLATE, variables=VARIABLES, root=f"{ROOT}/")
    return setting.repo.commit(dict(files), "Orders come")


def files_of(repo: GitRepo) -> dict[str, Any]:
    names = repo.git("--git-dir", str(repo.bare), "ls-tree", "-r", "--name-only", "main").split()
    return {name: repo.git("--git-dir", str(repo.bare), "show", f"main:{name}") for name in names}


def test_extra_node_by_its_own_repository(master: Setting, git_repo: Factory) -> None:
    target = git_repo("eidsiva-conf")
    target.commit({"README.md": "theirs", "node/pipes/old.conf.json": "{}"}, "Theirs")
    ExtraNode.objects.create(
        master=master.node, name="eidsiva", template_path=TEMPLATES, repository=target.declare(), branch="main"
    )
    planned = carried_out(plan_request(node=master.node, actor=OPERATOR, cause=Cause.PERSON))
    assert planned.state == RunState.SUCCEEDED, log_of(planned)
    assert planned.extras[0]["result"].startswith("would be pushed to eidsiva-conf main: 5 added (")
    assert "README.md" in files_of(target)
    assert "node/pipes/orders.conf.json" not in files_of(target)
    row = master.sync()
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert set(master.fake.entities) == {"billing", "crm", "orders"}
    assert master.fake.entities["orders"]["metadata"] == {"for": "billing"}
    assert master.fake.variables == VARIABLES
    files = files_of(target)
    assert set(files) == {
        "README.md", "node/node-metadata.conf.json", "node/pipes/orders.conf.json",
        "node/pipes/orders-to-master.conf.json", "node/systems/dev.conf.json", "node/variables/variables-test.json",
    }  # fmt: skip
    assert json.loads(files["node/pipes/orders.conf.json"]) == ORDERS
    assert json.loads(files["node/variables/variables-test.json"]) == {"master-url": "https://master"}
    message = target.git("--git-dir", str(target.bare), "log", "-1", "--format=%an%n%B", "main")
    assert message.startswith("Deploypanel\n")
    assert row.commit in message
    assert (row.extras[0]["state"], row.extras[0]["changed"]) == ("succeeded", True)
    # Nothing of it changes: the master's next commit makes none there.
    commit(master, ORDERS, BILLING, system("crm"), pipe("more", source=OWN))
    again = master.sync()
    assert again.state == RunState.SUCCEEDED, log_of(again)
    assert again.extras[0]["changed"] is False
    assert target.git("--git-dir", str(target.bare), "rev-list", "--count", "main") == "2"
    # What changes only there goes there, although the master's node has nothing to do.
    commit(master, ORDERS | {"batch_size": 5}, BILLING, system("crm"), pipe("more", source=OWN))
    third = master.sync()
    assert third.state == RunState.SUCCEEDED, log_of(third)
    assert third.no_change
    assert third.extras[0]["result"].endswith("1 changed (pipes/orders.conf.json)")
    assert json.loads(files_of(target)["node/pipes/orders.conf.json"])["batch_size"] == 5


def checked(setting: Setting) -> Node:
    assert setting.node.repository is not None
    services.repository_fetch(repository=setting.node.repository)
    nodes_check(ids=[setting.node.pk])
    return Node.objects.get(pk=setting.node.pk)


def test_check_sees_what_only_an_extra_node_lacks(master: Setting, git_repo: Factory) -> None:
    target = git_repo("eidsiva-conf")
    extra = ExtraNode.objects.create(
        master=master.node, name="eidsiva", template_path=TEMPLATES, repository=target.declare()
    )
    assert master.sync().state == RunState.SUCCEEDED
    assert checked(master).state == NodeState.IN_SYNC
    commit(master, ORDERS, BILLING, system("crm", node="eidsiva"), system("b"))
    commit(master, ORDERS, BILLING, system("crm"), system("crm2", node="eidsiva"))
    Node.objects.update(apply_mode="schedule")
    node = checked(master)
    assert (node.state, node.state_detail) == (
        NodeState.BEHIND, f"It has {master.repo.shas[-1][:8]} itself; what it feeds is behind: eidsiva.",
    )  # fmt: skip
    row = carried_out(Sync.objects.get(state=RunState.QUEUED))
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert "node/systems/crm2.conf.json" in files_of(target)
    assert checked(master).state == NodeState.IN_SYNC
    commit(master, ORDERS, BILLING, system("crm"), system("crm2", node="eidsiva", x=1))
    extra.repository.url += "-gone"
    extra.repository.save()
    assert checked(master).state == NodeState.BEHIND
    row = carried_out(Sync.objects.get(state=RunState.QUEUED))
    assert row.state == RunState.FAILED
    assert checked(master).state == NodeState.BEHIND  # it was not fed


def test_extra_node_fed_directly(master: Setting) -> None:
    fed = Node.objects.create(name="fed", url=master.fake.url, jwt="good-token", upload=["variables"])
    ExtraNode.objects.create(master=master.node, name="eidsiva", template_path=TEMPLATES, node=fed)
    row = master.sync()
    assert row.state == RunState.SUCCEEDED, log_of(row)
    asked = Sync.objects.get(node=fed)
    assert asked.commit == row.commit
    master.hold()  # the fake stands for that node from now on
    done = carried_out(asked)
    assert done.state == RunState.SUCCEEDED, log_of(done)
    assert set(master.fake.entities) == {"dev", "node", "orders", "orders-to-master"}
    assert master.fake.variables == {"master-url": "https://master"}


def test_problems_of_templates_stop_everything(master: Setting, git_repo: Factory) -> None:
    target = git_repo("eidsiva-conf")
    ExtraNode.objects.create(master=master.node, name="eidsiva", template_path=TEMPLATES, repository=target.declare())
    commit(master, ORDERS, BILLING, pipe("orders-to-master", node="eidsiva"), pipe("lost", node="eidsva"))
    before = master.state()
    row = master.sync()
    assert row.state == RunState.FAILED
    assert master.state() == before
    texts = [f"{problem['file']}: {problem['text']}" for problem in row.problems]
    assert len(texts) == 2
    assert "eidsiva gets “orders-to-master” twice" in texts[0]
    assert "metadata.node names “eidsva”" in texts[1]
    assert target.git("--git-dir", str(target.bare), "branch", "--list") == ""


def test_a_damaged_mirror_is_built_anew(master: Setting) -> None:
    ExtraNode.objects.create(
        master=master.node, name="eidsiva", template_path=TEMPLATES,
        node=Node.objects.create(name="fed", url=master.fake.url, jwt="good-token"),
    )  # fmt: skip
    repository = master.node.repository
    assert repository is not None
    services.repository_fetch(repository=repository)
    path = mirror.mirror_path(repository.pk)
    for pack in path.glob("objects/pack/*.pack"):  # loose objects can be damaged one by one
        moved = pack.rename(path / "moved.pack")
        for left in path.glob("objects/pack/*"):
            left.unlink()
        master.repo.git("--git-dir", str(path), "unpack-objects", "-q", stdin=moved.read_bytes())
    oid = master.repo.git("rev-parse", f"HEAD:{ROOT}/node/pipes/billing.conf.json")
    (path / "objects" / oid[:2] / oid[2:]).unlink()
    row = master.sync()
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert "It is built anew." in log_of(row)
