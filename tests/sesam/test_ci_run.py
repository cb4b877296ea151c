"""`ci`: a repository is verified, and no node is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.access.errors import InputError, Refused
from apps.runs.models import Cause
from apps.runs.states import RunState
from apps.sesam.management.status_words import next_check
from apps.sesam.models import Layout, Node, SecretStore, Stage, StoredSecret, Sync
from apps.sesam.services import plan_request, sync_request, verify_request
from apps.sesam.states import NodeState
from tests.sesam import multinode
from tests.sesam.engine import OPERATOR, carried_out, log_of, steps_of, tiny_patience
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db


@pytest.fixture
def repo(git_repo: Callable[..., GitRepo]) -> GitRepo:
    return git_repo("conf")


@pytest.fixture
def node(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> Node:
    tiny_patience(monkeypatch)
    return Node.objects.create(
        name="ci", repository=repo.declare(), layout=Layout.MULTI, environment=Stage.CI, verify=["variables"]
    )


def committed(repo: GitRepo, *entities: object, test: str = '{"base": 1}', prod: str = '{"base": 2}') -> str:
    """All entities, whitelisted in whitelist-master.txt, with three files of variables."""
    files = multinode.repository_files(entities, environment="ci")  # type: ignore[arg-type]
    whitelist = files.pop("node/deployment/whitelist-ci.txt")
    files.pop("node/variables/variables-ci.json")
    files |= {
        "node/deployment/whitelist-master.txt": whitelist,
        "node/test-env.json": b'{"base": 0}',
        "node/variables/variables-test.json": test.encode(),
        "node/variables/variables-prod.json": prod.encode(),
    }
    return repo.commit(files)


def verified(node: Node) -> Sync:
    node.refresh_from_db()
    return carried_out(verify_request(node=node, actor=OPERATOR, cause=Cause.PERSON))


def test_sound_repository_is_verified(node: Node, repo: GitRepo) -> None:
    sha = committed(repo, multinode.pipe("a"), multinode.system("s", node="eidsiva"))
    row = verified(node)
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert row.commit == sha
    assert row.counts == {"entities": 2}, "all nodes' entities together"
    assert set(steps_of(row)) == {"fetch", "source", "expand", "verify"}
    node.refresh_from_db()
    assert node.state == NodeState.IN_SYNC
    assert node.applied_commit == sha


def test_variable_must_be_in_both_files(node: Node, repo: GitRepo) -> None:
    committed(repo, multinode.system("s"), prod="{}")
    row = verified(node)
    assert row.state == RunState.FAILED
    assert list(row.missing["variables"]) == ["base"]
    assert "variables-prod.json" in log_of(row)
    assert "variables-test.json" not in log_of(row).partition("Missing variable")[2].partition("\n")[0]
    node.refresh_from_db()
    assert node.state == NodeState.BROKEN


def test_variables_are_verified_although_nobody_said_so(node: Node, repo: GitRepo) -> None:
    Node.objects.filter(pk=node.pk).update(verify=[])
    committed(repo, multinode.system("s"), prod="{}")
    row = verified(node)
    assert row.state == RunState.FAILED
    assert list(row.missing["variables"]) == ["base"]


def test_nothing_is_promised_to_be_checked_next(node: Node) -> None:
    assert next_check(node) is None


def test_secrets_are_verified_where_a_store_is(node: Node, repo: GitRepo) -> None:
    store = SecretStore.objects.create(name="own", kind=SecretStore.Kind.PANEL)
    StoredSecret.objects.create(store=store, name="known", value="s3cret-value")
    Node.objects.filter(pk=node.pk).update(verify=["variables", "secrets"], secret_store=store)
    committed(repo, multinode.pipe("a", c="$SECRET(known)$SECRET(lost)"))
    row = verified(node)
    assert row.state == RunState.FAILED
    assert list(row.missing["secrets"]) == ["lost"]
    StoredSecret.objects.create(store=store, name="lost", value="s3cret-value-2")
    assert verified(node).state == RunState.SUCCEEDED


def test_missing_whitelisted_files_are_all_told(node: Node, repo: GitRepo) -> None:
    committed(repo, multinode.pipe("a"))
    listed = "pipes/a.conf.json\n\npipes/gone.conf.json\nsystems/lost.conf.json\n"
    repo.commit({"node/deployment/whitelist-master.txt": listed})
    row = verified(node)
    assert row.state == RunState.FAILED
    assert "pipes/gone.conf.json" in log_of(row)
    assert "systems/lost.conf.json" in log_of(row)


def test_ci_node_is_neither_synced_nor_planned(node: Node) -> None:
    with pytest.raises(Refused, match="verifies a repository"):
        sync_request(node=node, actor=OPERATOR, cause=Cause.PERSON)
    with pytest.raises(InputError, match="verifies a repository"):
        plan_request(node=node, actor=OPERATOR, cause=Cause.PERSON)
