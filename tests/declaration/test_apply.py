"""Applying declarations: what they make, change, leave and remove."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User

from apps.access.models import AuditEntry, BusinessHours, SshKey
from apps.environments.models import Cluster, Environment, Host
from apps.repos.models import Repository
from deploypanel.declaration.changes import Move
from deploypanel.declaration.dump import declaration_dump
from tests.declaration.conftest import FULL, Apply, problems

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIGKqrZ4pjZp9hXkTgSoL4YW2fbJh7V3Ue7lWcWmVhUqL"

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def test_apply_makes_everything_whatever_the_order(apply: Apply, folder: Path) -> None:
    outcome = apply(FULL)
    assert {change.move for change in outcome.changes} == {Move.CREATED}
    prod = Environment.objects.get(path="shop/prod")
    assert (prod.target_path, prod.remote_user, prod.hours, prod.deploy_as) == (
        "/srv/shop",
        "deploy",
        BusinessHours.objects.get(),
        User.objects.get(username="auto"),
    )
    assert Host.objects.get(name="web1").jump_host == Host.objects.get(name="gate")
    assert list(prod.clusters.get().hosts.all()) == [Host.objects.get(name="web1")]
    assert Repository.objects.get().webhook_secret == "a-very-quiet-word"
    assert SshKey.objects.get().private_key.strip() == (folder / "id_ed25519").read_text().strip()
    alice = User.objects.get(username="alice")
    assert alice.check_password("correct horse battery")
    assert alice.is_staff
    assert list(alice.groups.all()) == [Group.objects.get(name="staff")]
    assert not User.objects.get(username="auto").has_usable_password()


def test_apply_grants_exactly_what_is_listed(apply: Apply) -> None:
    apply(FULL)
    outcome = apply("users: [{name: alice, grants: [{environment: shop/prod, permission: view}]}]")
    assert outcome.lines() == [
        "changed user alice",
        "    grants: [shop/prod: deploy_in_hours] → [shop/prod: view]",
        "1 changed",
    ]
    outcome = apply("users: [{name: alice, grants: []}]")
    assert outcome.lines()[1] == "    grants: [shop/prod: view] → []"
    assert apply("users: [{name: alice, grants: []}]").changes == []


def test_apply_twice_changes_nothing(apply: Apply) -> None:
    apply(FULL)
    outcome = apply(FULL)
    assert outcome.changes == []
    assert outcome.summary() == "nothing to change"


def test_apply_says_old_and_new_and_no_secret(apply: Apply) -> None:
    apply(FULL)
    text = "\n".join(
        apply(
            FULL.replace("keep_releases: 5", "keep_releases: 7")
            .replace("a-very-quiet-word", "a-new-word")
            .replace("labels: [web, paris]", "labels: [web]")
        ).lines()
    )
    assert "changed environment shop/prod\n    keep_releases: 5 → 7" in text
    assert "changed repository shop\n    webhook_secret: changed" in text
    assert "labels: [web, paris] → [web]" in text
    assert "3 changed" in text
    assert "word" not in text


def test_apply_leaves_what_an_entry_does_not_say(apply: Apply) -> None:
    apply(FULL)
    Host.objects.filter(name="web1").update(host_key=f"ssh-ed25519 {KEY}")
    assert apply(FULL).changes == []
    assert apply("hosts: [{name: web1, active: false}]").changes
    web1 = Host.objects.get(name="web1")
    assert (web1.host_key, web1.active, web1.port) == (f"ssh-ed25519 {KEY}", False, 2201)


def test_apply_null_empties_a_field(apply: Apply) -> None:
    apply(FULL)
    apply(
        "hosts: [{name: web1, jump_host: , labels: ~, port: ~}]\n"
        "environments: [{repository: shop, name: prod, hours: }]"
    )
    web1 = Host.objects.get(name="web1")
    assert (web1.jump_host, web1.labels, web1.port) == (None, [], 22)
    assert Environment.objects.get().hours is None


def test_apply_dry_run_prints_and_changes_nothing(apply: Apply) -> None:
    outcome = apply(FULL, dry_run=True)
    assert outcome.summary() == "dry run, nothing was changed: 10 created"
    assert not Host.objects.exists()
    assert not AuditEntry.objects.filter(action__endswith=".add").exists()


def test_apply_is_recorded_object_by_object_without_secrets(apply: Apply) -> None:
    apply(FULL)
    rows = AuditEntry.objects.filter(action__endswith=".add")
    assert {row.detail["object"] for row in rows} >= {"fleet", "web1", "blue", "shop", "shop/prod", "alice"}
    assert rows.get(subject="shop/prod").actor == "operator"
    assert "quiet" not in str(list(rows.values_list("detail", flat=True)))


def test_apply_keeps_a_password_that_is_right_and_changes_one_that_is_not(apply: Apply, folder: Path) -> None:
    apply(FULL)
    before = User.objects.get(username="alice").password
    apply(FULL)
    assert User.objects.get(username="alice").password == before
    (folder / "password").write_text("another horse entirely")
    assert apply(FULL).lines()[:2] == ["changed user alice", "    password: changed"]
    assert User.objects.get(username="alice").check_password("another horse entirely")


def test_prune_removes_only_in_sections_that_the_file_has(apply: Apply) -> None:
    apply(FULL)
    Host.objects.create(name="old", address="::1", user="deploy", ssh_key=SshKey.objects.get())
    Cluster.objects.create(name="green")
    outcome = apply("clusters: [{name: blue}]", remove=True)
    assert [str(line) for line in outcome.lines()] == ["removed cluster green", "1 removed"]
    assert Host.objects.filter(name="old").exists()


def test_prune_refuses_what_is_in_use(apply: Apply) -> None:
    apply(FULL)
    assert problems(apply, "clusters: []", remove=True) == [
        "1:11: clusters: the cluster 'blue' is not in the file but still in use by environment shop/prod"
    ]
    (said,) = problems(apply, "ssh_keys: []", remove=True)
    assert "SSH key 'fleet'" in said
    assert "web1" in said
    assert problems(apply, "repositories: []", remove=True)[0].endswith("still in use by environment shop/prod")
    assert Cluster.objects.exists()


def test_prune_never_removes_a_superuser(apply: Apply) -> None:
    User.objects.create_superuser("root")
    User.objects.create_user("gone")
    outcome = apply("users: []", remove=True)
    assert outcome.lines() == ["removed user gone", "kept user root: superusers are never pruned", "1 removed"]
    assert User.objects.get().username == "root"


def test_prune_can_empty_the_whole_installation(apply: Apply) -> None:
    apply(FULL)
    empty = "\n".join(f"{line.split(':')[0]}: []" for line in FULL.splitlines() if line[0] != " ")
    assert apply(empty, remove=True).summary() == "10 removed"
    assert declaration_dump().endswith("{}\n")


def test_dump_applies_with_nothing_to_change(apply: Apply) -> None:
    apply(FULL)
    dump = declaration_dump()
    assert "quiet" not in dump
    assert "PRIVATE KEY" not in dump
    assert "private_key: (kept)" in dump
    assert apply(dump).summary() == "nothing to change"
    assert apply(dump, remove=True).summary() == "nothing to change"
    assert declaration_dump() == dump


def test_dump_restores_what_was_changed_since(apply: Apply) -> None:
    apply(FULL)
    dump = declaration_dump()
    Environment.objects.update(parallel=3, fail_on_tests=False, method="inplace")
    Cluster.objects.get().hosts.clear()
    User.objects.filter(username="alice").update(is_staff=False)
    apply(dump)
    assert declaration_dump() == dump
    assert Environment.objects.get().parallel == 20
    assert Cluster.objects.get().hosts.exists()
