"""The buttons of a node's page: who may press which, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from apps.access.levels import Level
from apps.access.models import AuditEntry, BusinessHours
from apps.runs.models import Run
from apps.runs.states import RunState
from apps.sesam.models import Node, Sync
from tests.sesam import rows
from tests.support.cast import grant
from tests.ui.rows import freeze_make

pytestmark = [pytest.mark.django_db]

ACTS = ("plan", "sync", "restore", "pause", "resume", "check", "switch")
SignIn = Callable[[Level], Client]


def address(node: Node, act: str) -> str:
    return f"/admin/sesam/node/{node.pk}/{act}/"


@pytest.fixture
def node(db: None) -> Node:
    return rows.node_make("dev", apply_mode="schedule")


@pytest.fixture
def snapshot(node: Node) -> str:
    return str(rows.snapshot_make(node, rows.configuration(rows.pipe("a"))).pk)


@pytest.fixture
def as_level(client: Client, teammate: User, node: Node) -> SignIn:
    def sign_in(level: Level) -> Client:
        grant(teammate, node, level)
        client.force_login(teammate)
        return client

    return sign_in


def press(client: Client, node: Node, act: str, **fields: Any) -> Any:
    return client.post(address(node, act), {"confirmed": "1"} | fields)


@pytest.mark.parametrize("act", ACTS)
def test_outsider_cannot_act(client: Client, outsider: User, node: Node, act: str) -> None:
    client.force_login(outsider)
    assert press(client, node, act).status_code == 404


@pytest.mark.database
@pytest.mark.parametrize("act", ACTS)
def test_viewer_is_refused_and_recorded(as_level: SignIn, node: Node, snapshot: str, act: str) -> None:
    answer = press(as_level(Level.VIEW), node, act, snapshot=snapshot, reason="no")
    assert answer.status_code == 403
    assert "teammate lacks the right" in answer.content.decode()
    assert "Back to dev" in answer.content.decode()
    assert not Run.objects.exists()
    assert AuditEntry.objects.get(actor="teammate", allowed=False).subject == "dev"
    node.refresh_from_db()
    assert node.enabled
    assert node.auto_paused_at is None


def test_acts_are_posts_only(as_level: SignIn, node: Node) -> None:
    client = as_level(Level.CONFIGURE)
    for act in ACTS:
        assert client.get(address(node, act)).status_code == 405


def test_acts_need_the_form_token(as_level: SignIn, node: Node, teammate: User) -> None:
    as_level(Level.ACT)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(teammate)
    assert press(strict, node, "sync").status_code == 403
    assert not Run.objects.exists()


def test_sync_starts_a_run(as_level: SignIn, node: Node) -> None:
    answer = press(
        as_level(Level.IN_HOURS), node, "sync", ref="v2", confirm=["removals:12", "metadata:1"], resend_secrets="1"
    )
    sync = Sync.objects.get()
    assert answer.status_code == 302
    assert answer["Location"] == f"/admin/runs/run/{sync.run_id}/change/"
    assert (sync.ref, sync.requested_name, sync.confirmed) == ("v2", "teammate", {"removals": 12, "metadata": 1})
    assert sync.run is not None
    assert sync.run.params["resend_secrets"] is True


def test_sync_asks_without_a_script(as_level: SignIn, node: Node) -> None:
    rows.sync_make(node, 1, action="plan", counts={"new": 3, "removed": 1})
    client = as_level(Level.ACT)
    form = {"ref": "main", "confirm": "removals:12", "resend_secrets": "1"}
    answer = client.post(address(node, "sync"), form)
    html = answer.content.decode()
    assert answer.status_code == 200
    assert "Apply to dev?" in html
    assert "+3 ~0 −1" in html
    for name, value in (form | {"confirmed": "1"}).items():
        assert f'<input type="hidden" name="{name}" value="{value}">' in html
    assert Sync.objects.count() == 1


@pytest.mark.parametrize("text", ["removals", "removals:", "removals:-1", "removals:x", "planets:3", ":"])
def test_confirmation_of_nothing_is_refused(as_level: SignIn, node: Node, text: str) -> None:
    answer = press(as_level(Level.ACT), node, "sync", confirm=text)
    assert answer.status_code == 302
    assert not Sync.objects.exists()


def test_second_sync_names_the_first(as_level: SignIn, node: Node) -> None:
    client = as_level(Level.ACT)
    press(client, node, "sync")
    first = Sync.objects.get()
    answer = client.post(address(node, "sync"), {"confirmed": "1"}, follow=True)
    assert f"#{first.run_id}" in answer.content.decode()
    assert Sync.objects.count() == 1


def test_sync_waits_for_the_hours(as_level: SignIn, node: Node) -> None:
    day = (timezone.now() + timedelta(days=3)).strftime("%a").lower()
    node.hours = BusinessHours.objects.create(name="office", timezone="UTC", weekly={day: "08:00-08:01"})
    node.save()
    client = as_level(Level.IN_HOURS)
    assert press(client, node, "sync").status_code == 403
    press(client, node, "sync", when_open="1")
    assert Sync.objects.get().state == RunState.WAITING


def test_override_needs_its_button_and_a_reason(client: Client, owner: User, node: Node) -> None:
    freeze_make(None)
    client.force_login(owner)
    assert press(client, node, "sync", override="It burns.").status_code == 403
    press(client, node, "sync", overriding="1", override=" ")
    assert not Sync.objects.exists()
    press(client, node, "sync", overriding="1", override="It burns.")
    assert Run.objects.get().override_reason == "It burns."


def test_plan_appears_on_the_page(as_level: SignIn, node: Node) -> None:
    answer = press(as_level(Level.IN_HOURS), node, "plan", ref="next")
    assert answer["Location"] == f"/admin/sesam/node/{node.pk}/control/?ref=next#plan"
    assert (Sync.objects.get().action, Sync.objects.get().ref) == ("plan", "next")
    assert "Nothing is changed anywhere." in as_level(Level.VIEW).get(address(node, "control")).content.decode()


def test_plan_of_a_ci_node_is_a_verification(client: Client, owner: User) -> None:
    checker = rows.node_make("checker", layout="multi", environment="ci", url="", jwt="")
    client.force_login(owner)
    press(client, checker, "plan")
    assert Sync.objects.get().action == "verify"


def test_restore_asks_on_the_snapshots_page(as_level: SignIn, node: Node, snapshot: str) -> None:
    client = as_level(Level.ACT)
    answer = client.post(address(node, "restore"), {"snapshot": snapshot})
    assert answer["Location"] == f"/admin/sesam/node/{node.pk}/snapshot/{snapshot}/"
    assert not Sync.objects.exists()


def test_restore_starts_a_run_and_pauses(as_level: SignIn, node: Node, snapshot: str) -> None:
    press(as_level(Level.ACT), node, "restore", snapshot=snapshot)
    assert Sync.objects.get().action == "restore"
    node.refresh_from_db()
    assert node.auto_paused_at is not None


@pytest.mark.parametrize("number", ["", "x", "999999", "9" * 30])
def test_restore_of_no_snapshot(as_level: SignIn, node: Node, number: str) -> None:
    assert press(as_level(Level.ACT), node, "restore", snapshot=number).status_code == 404


def test_snapshot_of_another_node_is_not_found(as_level: SignIn, node: Node) -> None:
    other = rows.snapshot_make(rows.node_make("other"), rows.configuration(rows.pipe("a")))
    assert press(as_level(Level.ACT), node, "restore", snapshot=str(other.pk)).status_code == 404


def test_pause_and_resume(as_level: SignIn, node: Node) -> None:
    client = as_level(Level.IN_HOURS)
    press(client, node, "pause", reason="Stock-taking.")
    node.refresh_from_db()
    assert node.auto_paused_reason == "Stock-taking."
    press(client, node, "resume")
    node.refresh_from_db()
    assert node.auto_paused_at is None


def test_check_now_starts_one(as_level: SignIn, node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(check_after=timezone.now() + timedelta(hours=1))
    press(as_level(Level.IN_HOURS), node, "check")
    node.refresh_from_db()
    assert node.check_claimed_at is not None or node.check_after is None


def test_switching_is_for_those_who_configure(as_level: SignIn, node: Node) -> None:
    assert press(as_level(Level.ACT), node, "switch", on="0").status_code == 403
    client = as_level(Level.CONFIGURE)
    press(client, node, "switch", on="0")
    node.refresh_from_db()
    assert (node.enabled, node.state) == (False, "off")
    press(client, node, "switch", on="1")
    node.refresh_from_db()
    assert (node.enabled, node.state) == (True, "unknown")


def test_switching_twice_does_not_switch_back(as_level: SignIn, node: Node) -> None:
    """Two people press the same button: the second changes nothing."""
    client = as_level(Level.CONFIGURE)
    for _ in range(2):
        press(client, node, "switch", on="0")
    node.refresh_from_db()
    assert not node.enabled


def test_half_changed_node_stays_so_when_switched_on(as_level: SignIn, node: Node) -> None:
    owed = rows.sync_make(node, 1, state=RunState.LOST)
    Node.objects.filter(pk=node.pk).update(state="half", owed=owed)
    client = as_level(Level.CONFIGURE)
    for on, state in (("0", "off"), ("1", "half")):
        press(client, node, "switch", on=on)
        node.refresh_from_db()
        assert node.state == state


@pytest.mark.parametrize("act", ACTS)
def test_nul_is_refused(as_level: SignIn, node: Node, act: str) -> None:
    assert press(as_level(Level.CONFIGURE), node, act, ref="a\x00b").status_code == 400
