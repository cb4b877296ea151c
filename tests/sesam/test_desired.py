"""What Git wants a node to have: read from a real mirror, by node, commit and settings."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from apps.access.errors import PanelError
from apps.repos import mirror, services
from apps.repos.errors import MirrorDamaged, NotMirrored, RefMissing
from apps.repos.models import Repository
from apps.runs import process
from apps.sesam.desired import Desired, desired_read
from apps.sesam.errors import SourceError
from apps.sesam.models import ExtraNode, Node, SecretStore
from tests.sesam.multinode import TEMPLATES, pipe, repository_files, system
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db
Factory = Callable[..., GitRepo]

ORDERS = pipe("orders", node="eidsiva", url="$ENV(a)", password="$SECRET(extra)")
BILLING = pipe("billing", reads=["orders"], url="$ENV(b) $SECRET(master)")
OTHER = pipe("other-pipe", node="other", url="$ENV(o) $SECRET(other)")
TEMPLATE = {"pipe_on_master_from_extra_to_master": {"_id": "##REPLACE_ID##", "type": "pipe", "x": "$ENV(r)"}}
ENTITIES = [ORDERS, BILLING, OTHER, system("crm")]


class Site:
    """A repository `conf`, mirrored, with what was committed last."""

    def __init__(self, repo: GitRepo) -> None:
        self.repo = repo
        self.repository: Repository = repo.declare()
        self.sha = ""

    def commit(self, files: Mapping[Any, Any]) -> str:
        packed = {path: data if isinstance(data, bytes | None) else json.dumps(data) for path, data in files.items()}
        self.sha = self.repo.commit(packed)
        services.repository_fetch(repository=self.repository)
        return self.sha

    def node(self, name: str = "datahub", **fields: Any) -> Node:
        given = {"repository": self.repository, "url": "https://node.example/api", "jwt": "x", "layout": "multi"}
        return Node.objects.create(name=name, **(given | fields))


@pytest.fixture
def site(git_repo: Factory) -> Site:
    return Site(git_repo("conf"))


def multi(site: Site, **variables: Any) -> None:
    site.commit(
        repository_files(ENTITIES, TEMPLATE, variables=variables or {"a": 1, "b": 2, "o": 3, "r": 4, "base": 5})
    )


def extras(site: Site, master: Node) -> Node:
    """`eidsiva` by a repository, `other` as a node of the panel's; the latter."""
    fed = site.node("fed", repository=None, upload=["variables"])
    target = Repository.objects.create(name="eidsiva-conf", url="file:///nowhere")
    ExtraNode.objects.create(master=master, name="eidsiva", template_path=TEMPLATES, repository=target)
    ExtraNode.objects.create(master=master, name="other", template_path=TEMPLATES, node=fed)
    return fed


def has(desired: Desired) -> list[str]:
    return list(desired.configuration.entities)


def test_single(site: Site) -> None:
    site.commit({"home/node/pipes/a.conf.json": pipe("a", node="x"), "home/node/systems/s.conf.json": system("s"),
                 "elsewhere/pipes/b.conf.json": b"{", "home/node/notes.txt": b"\xff"})  # fmt: skip
    desired = desired_read(node=site.node(layout="single", sync_root="home/node"), commit=site.sha)
    assert desired.require() is desired
    assert (desired.problems, desired.expansion) == ((), None)
    assert has(desired) == ["a", "s"]  # without extra nodes there are no owners
    assert desired.configuration.entities["a"].file == "home/node/pipes/a.conf.json"
    assert desired.configuration.variables is None
    assert desired.configuration.secrets is None
    assert desired.missing(None) == {"variables": {}, "secrets": {}}  # no file of variables: the node's own count


def test_master_gets_its_share(site: Site) -> None:
    multi(site)
    master = site.node(upload=["variables", "secrets"], secret_store=SecretStore.objects.create(name="s", kind="panel"))
    extras(site, master)
    desired = desired_read(node=master, commit=site.sha)
    assert [str(problem) for problem in desired.problems] == []
    assert has(desired) == ["billing", "crm", "orders"]
    assert desired.configuration.variables == {"a": 1, "b": 2, "o": 3, "r": 4, "base": 5}
    assert desired.configuration.secrets == {"master"}
    assert desired.expansion is not None
    assert list(desired.expansion.shares) == ["", "eidsiva", "other"]
    # It answers for what it feeds through a repository, too; the other node answers for itself.
    assert set(desired.references.secrets) == {"master", "extra"}
    assert set(desired.references.variables) == {"a", "b", "r", "base"}


def test_fed_node_gets_its_share(site: Site) -> None:
    multi(site)
    fed = extras(site, site.node())
    desired = desired_read(node=fed, commit=site.sha)
    assert has(desired) == ["other-pipe"]
    assert desired.configuration.variables == {"o": 3}
    assert set(desired.references.secrets) == {"other"}
    assert set(desired.references.variables) == {"o"}


@pytest.mark.parametrize("change", [{"environment": "ci"}, {"layout": "single"}])
def test_fed_node_never_gets_all_of_it(site: Site, change: dict[str, str]) -> None:
    multi(site)
    master = site.node()
    fed = extras(site, master)
    Node.objects.filter(pk=master.pk).update(**change)
    with pytest.raises(PanelError, match="fed is fed by datahub, which feeds nobody"):
        desired_read(node=Node.objects.get(pk=fed.pk), commit=site.sha)


def test_missing_names_with_their_files(site: Site) -> None:
    multi(site, a=1)
    master = site.node()
    extras(site, master)
    desired = desired_read(node=master, commit=site.sha)
    assert desired.missing({"master"}) == {
        "variables": {
            "b": ("node/pipes/billing.conf.json",),
            "base": ("node/systems/crm.conf.json",),
            "r": (f"{TEMPLATES}pipe_on_master_from_extra_to_master.json",),
        },
        "secrets": {"extra": ("node/pipes/orders.conf.json",)},
    }
    assert desired.missing(None)["secrets"] == {}
    assert desired.missing(set())["secrets"].keys() == {"master", "extra"}


def test_an_owner_that_nobody_declared(site: Site) -> None:
    multi(site)
    desired = desired_read(node=site.node(), commit=site.sha)
    assert has(desired) == ["billing", "crm"]
    with pytest.raises(SourceError, match=r"metadata\.node names “eidsiva”.*\(and 1 more\)") as caught:
        desired.require()
    assert len(caught.value.problems) == 2


def test_ci_is_one_node_against_both_variables_files(site: Site) -> None:
    files = {f"node/pipes/{one['_id']}.conf.json": one for one in (ORDERS, BILLING, OTHER)}
    files |= {"node/variables/variables-test.json": {"a": 1, "b": 1, "o": 1}, "node/test-env.json": {"a": 9}}
    files |= {"node/variables/variables-prod.json": {"a": 1}}
    whitelist = "".join(f"{path.removeprefix('node/')}\n" for path in files if "/pipes/" in path)
    site.commit(files | {"node/deployment/whitelist-master.txt": whitelist.encode()})
    node = site.node(environment="ci", url="", jwt="")
    extras(site, node)
    desired = desired_read(node=node, commit=site.sha)
    assert (desired.problems, desired.expansion) == ((), None)
    assert has(desired) == ["billing", "orders", "other-pipe"]
    assert set(desired.missing(None)["variables"]) == {"b", "o"}
    assert desired.source.lacking("b") == ("node/variables/variables-prod.json",)


def test_configuration_group(site: Site) -> None:
    site.commit({"pipes/a.conf.json": pipe("a"), "pipes/b.conf.json": pipe("b", metadata={"$config-group": "mine"}),
                 "node-metadata.conf.json": {"_id": "node", "type": "metadata"}})  # fmt: skip
    node = site.node(layout="single", config_group="mine")
    desired = desired_read(node=node, commit=site.sha)
    assert has(desired) == ["a", "b"]
    assert desired.configuration.entities["a"].value["metadata"] == {"$config-group": "mine"}
    node.config_group = "theirs"
    problems = desired_read(node=node, commit=site.sha).errors
    assert [problem.file for problem in problems] == ["pipes/b.conf.json"]


def test_problems_do_not_raise_and_are_all_told(site: Site) -> None:
    site.repo.write({"pipes/a.conf.json": b"{", "pipes/b.conf.json": b"[]"})
    (site.repo.tree / "pipes/link.conf.json").symlink_to("a.conf.json")
    site.commit({})
    desired = desired_read(node=site.node(layout="single"), commit=site.sha)
    assert [(problem.file, problem.is_error) for problem in desired.problems] == [
        ("", False), ("pipes/a.conf.json", True), ("pipes/b.conf.json", True), ("pipes/link.conf.json", False),
    ]  # fmt: skip
    assert desired.problems[-1].text == "This is a link: it is left out."
    with pytest.raises(SourceError, match=r"pipes/a\.conf\.json:1"):
        desired.require()


def test_an_earlier_commit(site: Site) -> None:
    first = site.commit({"pipes/a.conf.json": pipe("a")})
    site.commit({"pipes/b.conf.json": pipe("b")})
    node = site.node(layout="single")
    assert has(desired_read(node=node, commit=first)) == ["a"]
    assert has(desired_read(node=node, commit=site.sha)) == ["a", "b"]


def test_no_network_is_needed(site: Site) -> None:
    multi(site)
    master = site.node()
    extras(site, master)
    site.repo.bare.rename(site.repo.bare.with_suffix(".away"))
    assert has(desired_read(node=master, commit=site.sha)) == ["billing", "crm", "orders"]


def test_two_git_commands_and_few_queries(
    site: Site, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    multi(site)
    master = site.node()
    extras(site, master)
    asked: list[str] = []
    real = process.run

    def counted(argv: Any, **more: Any) -> Any:
        asked.append(argv[2])
        return real(argv, **more)

    monkeypatch.setattr(process, "run", counted)
    node = Node.objects.select_related("repository").get(pk=master.pk)
    with django_assert_max_num_queries(4):
        desired_read(node=node, commit=site.sha)
    assert asked == ["ls-tree", "cat-file"]


def test_refusals(site: Site) -> None:
    node = site.node(layout="single")
    with pytest.raises(PanelError, match="No commit of conf is known for datahub yet"):
        desired_read(node=node, commit="")
    with pytest.raises(NotMirrored, match="Fetch now"):
        desired_read(node=node, commit="1" * 40)
    site.commit({"pipes/a.conf.json": pipe("a")})
    with pytest.raises(RefMissing):
        desired_read(node=node, commit="1" * 40)
    with pytest.raises(PanelError, match="alone follows no repository: choose one, or let a master feed it"):
        desired_read(node=site.node("alone", repository=None), commit=site.sha)
    for path in mirror.mirror_path(site.repository.pk).glob("objects/??/*"):
        path.unlink()
    for path in mirror.mirror_path(site.repository.pk).glob("objects/pack/*"):
        path.unlink()
    with pytest.raises((MirrorDamaged, RefMissing)):
        desired_read(node=node, commit=site.sha)


def test_two_thousand_pipes_in_a_moment(site: Site) -> None:
    transform = {"type": "dtl", "rules": {"default": [["copy", "*"], ["add", "x", "$ENV(v)"]] * 10}}
    site.commit({f"pipes/p{n}.conf.json": pipe(f"p{n}", transform=transform) for n in range(2000)})
    node = site.node(layout="single")
    began = time.thread_time()
    desired = desired_read(node=node, commit=site.sha)
    took = time.thread_time() - began
    print(f"2000 pipes read and taken: {took:.2f} s")
    assert len(has(desired)) == 2000
    assert took < 5
