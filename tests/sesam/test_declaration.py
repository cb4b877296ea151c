"""Nodes, stores and extra nodes in declarations."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User

from apps.access.errors import InputError
from apps.access.models import AuditEntry, SubjectUserPermission
from apps.runs.models import Run
from apps.sesam.models import ExtraNode, Node, SecretStore, StoredSecret
from deploypanel.declaration.dump import declaration_dump
from tests.declaration.conftest import Apply, apply, folder, problems

__all__ = ["apply", "folder"]

pytestmark = [pytest.mark.django_db]

# As the documentation has it, letter by letter.
EXAMPLE = """\
secret_stores: [{name: vault, url: "http://127.0.0.1:8200", kv_version: 2, mount: sesam/kv2, path_prefix: manual/, auth: github, token: "…"}]
nodes:
  - {name: dev, url: "https://dev.example/api", jwt: "…", repository: conf, branch: main, layout: single, sync_root: sesam-home/sesam-node, apply: schedule, interval: 60, protected: [watcher], orchestrator: false}
  - {name: main, url: "https://main.example/api", jwt: "…", repository: conf, branch: main, layout: multi, root: template_node_root_folder, environment: test, verify: [variables, secrets], upload: [variables, secrets], secret_store: vault, config_group: null, apply: manual}
extra_nodes:
  - {master: main, name: eidsiva, template_path: extra_nodes/eidsiva/, proxy: false, repository: eidsiva-conf, branch: master}
  - {master: main, name: extra, template_path: extra_nodes/eidsiva/, node: extra-direct}
"""  # noqa: E501
OTHERS = """\
repositories:
  - {name: conf, url: "file:///srv/git/conf.git"}
  - {name: eidsiva-conf, url: "file:///srv/git/eidsiva.git"}
nodes: [{name: extra-direct, url: "https://extra.example/api", jwt: "quiet-token"}]
"""
FULL = """\
business_hours: [{name: office, timezone: Europe/Oslo, weekly: {mon: "08:00-16:00"}}]
repositories: [{name: conf, url: "file:///srv/git/conf.git"}]
users:
  - {name: auto, grants: [{node: dev, permission: sync}]}
  - {name: alice, grants: [{node: dev, permission: sync_in_hours}, {repository: conf, permission: view}]}
secret_stores:
  - {name: own, kind: panel, secrets: {crm-password: quiet-one, erp-key: quiet-two}}
  - {name: vault, url: "https://vault.example:8200", kv_version: 1, mount: kv, field: value, auth: approle,
     role_id: panel, secret_id: quiet-three, namespace: it, auth_mount: approle2, ca_bundle: "-----BEGIN…"}
nodes:
  - {name: dev, enabled: false, url: "https://dev.example/api", jwt: quiet-four, ca_bundle_file: password,
     verify_tls: false, repository: conf, branch: v1, layout: multi, sync_root: some/folder, environment: prod,
     variables: [a.json, b.json], whitelist: none, verify: [variables], upload: [variables, secrets],
     secret_store: own, config_group: sales, protected: [watcher], ignore: ["a#/source/url"], orchestrator: true,
     apply: heal, interval: null, hours: office, sync_as: auto, removal_limit: 5, removal_share: 50,
     keep_snapshots: 7, snapshot_days: 30, time_limit: 900}
  - {name: fed, url: "https://fed.example/api", jwt: quiet-five}
extra_nodes: [{master: dev, name: far, template_path: extra_nodes/far/, proxy: true, node: fed}]
"""


@pytest.mark.parametrize("branch", ["a..b", "a b", "a:b"])
def test_a_branch_that_git_cannot_have_is_refused(apply: Apply, branch: str) -> None:
    apply(OTHERS)
    with pytest.raises(InputError, match="cannot be the name of a branch"):
        apply(f"nodes: [{{name: n, url: 'https://n.example', jwt: x, repository: conf, branch: '{branch}'}}]")


@pytest.mark.parametrize(
    "field",
    ["interval: 999999999999", "time_limit: 99999999999", "snapshot_days: 99999999", "keep_snapshots: 99999999"],
)
def test_numbers_that_no_calendar_holds_are_refused(apply: Apply, field: str) -> None:
    apply(OTHERS)
    with pytest.raises(InputError, match="less than or equal to"):
        apply(f"nodes: [{{name: n, url: 'https://n.example', jwt: x, repository: conf, {field}}}]")
    assert not Node.objects.filter(name="n").exists()


def test_the_documented_example_applies_as_it_stands(apply: Apply) -> None:
    apply(OTHERS)
    outcome = apply(EXAMPLE)
    assert outcome.summary() == "5 created"
    dev, main = Node.objects.get(name="dev"), Node.objects.get(name="main")
    assert (dev.apply_mode, dev.interval, dev.protected, dev.sync_root) == (
        "schedule", 60, ["watcher"], "sesam-home/sesam-node",
    )  # fmt: skip
    assert (main.layout, main.sync_root, main.environment, main.config_group) == (
        "multi", "template_node_root_folder", "test", "",
    )  # fmt: skip
    assert main.verify == main.upload == ["variables", "secrets"]
    assert main.secret_store == SecretStore.objects.get(mount="sesam/kv2", auth="github", kv_version=2)
    eidsiva, extra = ExtraNode.objects.order_by("name")
    assert (str(eidsiva.repository), eidsiva.branch, eidsiva.node) == ("eidsiva-conf", "master", None)
    assert (extra.repository, str(extra.node)) == (None, "extra-direct")
    assert apply(EXAMPLE).summary() == "nothing to change"
    assert apply(declaration_dump(), remove=True).summary() == "nothing to change"


@pytest.mark.database
def test_every_key_goes_in_and_comes_out(apply: Apply) -> None:
    apply(FULL)
    dev = Node.objects.get(name="dev")
    assert (dev.enabled, dev.verify_tls, dev.interval, dev.whitelist_file) == (False, False, None, "none")
    assert dev.variables_files == ["a.json", "b.json"]
    assert dev.ca_bundle == "correct horse battery"
    assert dev.sync_as == User.objects.get(username="auto")
    assert apply(FULL).summary() == "nothing to change"
    dump = declaration_dump()
    assert "quiet" not in dump
    assert "interval: null" in dump
    assert "crm-password: (kept)" in dump
    assert "node: dev" in dump
    assert apply(dump, remove=True).summary() == "nothing to change"
    assert declaration_dump() == dump
    named = set(SubjectUserPermission.objects.values_list("user__username", "content_object__path"))
    assert named == {("auto", "dev"), ("alice", "dev"), ("alice", "conf")}
    assert "quiet" not in str(list(AuditEntry.objects.values_list("detail", flat=True)))


def test_stored_secrets_change_by_name_and_are_never_shown(apply: Apply) -> None:
    apply(FULL)
    outcome = apply("secret_stores: [{name: own, secrets: {crm-password: (kept), other: quiet-six}}]")
    assert outcome.lines() == ["changed secret store own", "    secrets: changed", "1 changed"]
    assert {one.name: one.value for one in StoredSecret.objects.all()} == {
        "crm-password": "quiet-one",
        "other": "quiet-six",
    }
    apply("secret_stores: [{name: own, secrets: }]")
    assert not StoredSecret.objects.exists()


def test_stored_secrets_come_from_a_file_too(apply: Apply, folder: Path) -> None:
    (folder / "own.json").write_text('{"a": "quiet-one", "b": "two\\nlines"}')
    text = "secret_stores: [{name: own, kind: panel, secrets_file: own.json}]"
    apply(text)
    assert StoredSecret.objects.get(name="b").value == "two\nlines"
    assert apply(text).changes == []
    (folder / "own.json").write_text("[]")
    assert problems(apply, text) == [
        "1:56: secret_stores[0].secrets_file: own.json: a mapping of names to secrets is needed"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nodes: [{name: dev, rot: x}]", "no such key in nodes; did you mean 'root'?"),
        ("nodes: [{name: dev, root: a, sync_root: b}]", "give sync_root or root, not both"),
        ("nodes: [{name: dev, sync_root: ../up}]", "no “..”, no backslash"),
        ("nodes: [{name: dev, apply: shedule}]", "did you mean 'schedule'?"),
        ("nodes: [{name: dev, repository: cnf}]", "no repository is called 'cnf'; did you mean 'conf'?"),
        ("nodes: [{name: dev, verify: [secret]}]", "Only variables and secrets can be named."),
        ("nodes: [{name: fed, upload: [secrets]}]", "To upload secrets, choose where they come from."),
        ("nodes: [{name: dev, interval: 1}]", "greater than or equal to 5"),
        ("nodes: [{name: new, url: 'http://n/api'}]", "The node's token is needed."),
        ("secret_stores: [{name: new, kind: panel, secrets: {a: (kept)}}]", "the store has no such secret"),
        ("secret_stores: [{name: vault, kv_version: 3}]", "Value 3 is not a valid choice"),
        ("secret_stores: [{name: own, secrets: {crm-pasword: (kept)}}]", "did you mean 'crm-password'?"),
        ("extra_nodes: [{master: dev, name: x, template_path: t}]", "Choose one"),
        ("extra_nodes: [{master: fed, name: x, template_path: t, repository: conf}]", "multi-node layout"),
        ("users: [{name: alice, grants: [{node: dev, permission: deploy}]}]", "sync_in_hours, sync, configure"),
        ("users: [{name: alice, grants: [{node: dve, permission: sync}]}]", "did you mean 'dev'?"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(apply: Apply, text: str, said: str) -> None:
    apply(FULL)
    (problem, *_) = problems(apply, text)
    assert said in problem


@pytest.mark.database
def test_prune_removes_nodes_that_nothing_needs(apply: Apply) -> None:
    apply(FULL)
    fed = problems(apply, "nodes: [{name: dev}]", remove=True)[0]
    assert "the node 'fed' is not in the file but still in use by dev/far" in fed
    assert "in use by extra node dev/far" in problems(apply, "nodes: [{name: fed}]", remove=True)[0]
    assert "in use by" in problems(apply, "secret_stores: []", remove=True)[0]
    apply("extra_nodes: []\nnodes: [{name: fed}]", remove=True)
    assert [node.name for node in Node.objects.all()] == ["fed"]
    run = {"kind": "sync", "state": "running", "time_limit": 60, "silence_limit": 60}
    Run.objects.create(subject=Node.objects.get().subject, subject_path="fed", **run)
    assert "in use by run" in problems(apply, "nodes: []", remove=True)[0]
