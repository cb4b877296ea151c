"""Nodes, their extra nodes and secret stores, looked at in light, dark and on a phone, over rows made directly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.models import BusinessHours
from apps.repos.services import repository_fetch
from apps.runs.states import RunState
from apps.sesam.models import ExtraNode, Node, SecretStore, Snapshot, Sync
from tests.browser.conftest import Surfer
from tests.browser.test_pages import LOOKS, look_name
from tests.fakes.fixtures import fake_node  # noqa: F401 - a fixture
from tests.fakes.sesam_node import FakeNode
from tests.sesam import rows
from tests.sesam.engine import Setting, carried_out, setting_made, tiny_patience
from tests.sesam.engine import pipe as conf_pipe
from tests.sesam.multinode import TEMPLATES, pipe, repository_files, system
from tests.support.cast import PASSWORD
from tests.support.gitrepo import GitRepo

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

REPLICA = {"_id": "##REPLACE_ID##-replica", "type": "pipe", "note": "##INBOUND_PARENT_PIPE.source.dataset##"}
SYSTEM = {"_id": "system-##REPLACE_ID##", "type": "system:url"}


@dataclass
class Plant:
    """Nodes in all sorts of states."""

    calm: Node
    asking: Node
    half: Node
    master: Node
    checker: Node
    fresh: Node
    store: SecretStore
    snapshot: Snapshot


@pytest.fixture
def plant(owner: User, git_repo: Callable[..., GitRepo]) -> Plant:
    repo = git_repo("conf")
    entities = [
        *(pipe(f"orders-{number}", reads=[f"raw-{number}"], node="eidsiva") for number in range(60)),
        *(pipe(f"merge-{number}", reads=[f"orders-{number}"], writes=f"all-{number}") for number in range(60)),
        pipe("lost", writes="all-lost", node="eidsiva"),
        pipe("reads-lost", reads=["all-lost"]),
        system("crm"),
    ]
    templates = {
        "pipe_on_master_from_extra_to_master": REPLICA | {"_id": "##REPLACE_ID##-on-master"},
        "pipe_on_extra_from_extra_to_master": REPLICA,
        "system_on_extra_from_extra_to_master": SYSTEM,
    }
    files = repository_files(entities, templates, root="plant/")
    repo.commit({path: data.decode() for path, data in files.items()}, "Describe the plant")
    conf = repo.declare()
    repository_fetch(repository=conf)
    store = SecretStore.objects.create(
        name="vault", url="https://vault.example:8200", mount="sesam/kv2", path_prefix="manual/", token="t"
    )
    calm = rows.node_make(
        "datahub-prod",
        conf,
        state_since=timezone.now() - timedelta(hours=5),
        apply_mode="schedule",
        node_version="1.27.4",
        protected=["watcher"],
        ignore=["*#/pump/schedule_interval"],
        upload=["variables", "secrets"],
        secret_store=store,
    )
    before = rows.configuration(rows.pipe("orders"), rows.pipe("old-webshop"), variables={"region": "north"})
    after = rows.configuration(rows.pipe("orders", batch_size=500), rows.pipe("crm"), variables={"region": "south"})
    for number in range(24):
        state = RunState.FAILED if number in (6, 15) else RunState.SUCCEEDED
        made = rows.sync_make(
            calm,
            number,
            state=state,
            ago=timedelta(hours=70 - 2.8 * number),
            took=4 + number * 5 % 11,
            before=before,
            wanted=after,
            previous_commit=calm.applied_commit,
        )
        if state == RunState.SUCCEEDED and number > 15:
            snapshot = rows.snapshot_make(calm, before, made, timedelta(hours=70 - 2.8 * number))
    rows.sync_make(
        calm,
        24,
        action="plan",
        by="owner",
        ago=timedelta(minutes=2),
        before=before,
        wanted=after,
        counts={"new": 3, "changed": 12, "removed": 1, "unchanged": 1984, "variables": 2, "secrets": 1},
    )
    hours = BusinessHours.objects.create(name="office", timezone="Europe/Oslo", weekly={"mon": "08:00-08:01"})
    asking = rows.node_make(
        "orders",
        conf,
        state="asks",
        hours=hours,
        verify_tls=False,
        apply_mode="heal",
        auto_paused_at=timezone.now(),
        auto_paused_reason="Restored to what it had at 2026-11-20 16:02 UTC by alice (run #81).",
        questions=[{"kind": "removals", "number": 31, "text": "31 of the node's 92 pipes and systems would be removed: "
                    "a, b, c, d, e and 26 more."}],
        state_detail="31 removed to apply, from 3f9c1ab0.",
    )  # fmt: skip
    problems = [
        {"file": "plant/node/pipes/orders.conf.json", "line": 12, "column": 3, "text": "Not JSON: a comma is missing.",
         "error": True},
        {"file": "plant/node/systems/crm.conf.json", "line": 0, "column": 0, "text": "It has no _id.", "error": True},
    ]  # fmt: skip
    half = rows.node_make("billing", conf, state="half", state_detail="The node has the variables of 3f9c1ab0, and the "
                          "configuration it had before.")  # fmt: skip
    journal = [
        {"what": "secrets", "state": "undone", "at": "", "names": ["crm-key"], "overwritten": ["erp-password"]},
        {"what": "variables", "state": "owed", "at": ""},
        {"what": "configuration", "state": "undone", "at": ""},
    ]
    owed = rows.sync_make(half, 3, state=RunState.LOST, journal=journal)
    Node.objects.filter(pk=half.pk).update(owed=owed)
    rows.sync_make(half, 4, state=RunState.RUNNING, ago=timedelta(seconds=9))
    master = rows.node_make(
        "main",
        conf,
        layout="multi",
        sync_root="plant",
        state="broken",
        state_detail="The variable region is missing (and 1 more)",
    )
    direct = rows.node_make("eidsiva-direct", conf)
    Node.objects.filter(pk=direct.pk).update(repository=None, parent=None)
    ExtraNode.objects.create(master=master, name="eidsiva", template_path=TEMPLATES, node=direct)
    rows.sync_make(
        master,
        5,
        state=RunState.FAILED,
        problems=problems,
        missing={"variables": {"region": ["plant/node/pipes/orders.conf.json"]}, "secrets": {}},
        extras=[{"name": "eidsiva", "way": "node", "result": "refused: outside business hours"}],
        counts={},
    )
    checker = rows.node_make("conf-ci", conf, layout="multi", environment="ci", url="", jwt="", sync_root="plant")
    rows.sync_make(checker, 6, action="verify", counts={})
    fresh = rows.node_make("fresh", conf, enabled=False, state="off", checked_at=None, answered_at=None)
    return Plant(calm, asking, half, master, checker, fresh, store, snapshot)


@pytest.fixture
def signed(surf: Callable[..., Surfer], live_server: object, owner: User) -> Callable[..., Surfer]:
    def enter(**look: bool) -> Surfer:
        surfer = surf(live_server.url, **look)  # type: ignore[attr-defined]
        surfer.enter("owner")
        # Runs are carried out by the tests here, and this server has no WebSockets to follow them by.
        surfer.page.route("**/runs/run.js*", lambda route: route.fulfill(body="", content_type="text/javascript"))
        return surfer

    return enter


@pytest.mark.parametrize("look", [LOOKS[0], LOOKS[3]], ids=look_name)  # each width and each colour once
def test_pages_hold_the_basics(plant: Plant, signed: Callable[..., Surfer], look: dict[str, bool]) -> None:
    surfer = signed(**look)
    node = "/admin/sesam/node/"
    pages = {
        "nodes": node,
        "node-calm": f"{node}{plant.calm.pk}/control/",
        "node-asks": f"{node}{plant.asking.pk}/control/",
        "node-half": f"{node}{plant.half.pk}/control/",
        "node-master": f"{node}{plant.master.pk}/control/",
        "node-ci": f"{node}{plant.checker.pk}/control/",
        "node-off": f"{node}{plant.fresh.pk}/control/",
        "node-snapshot": f"{node}{plant.calm.pk}/snapshot/{plant.snapshot.pk}/",
        "node-extras": f"{node}{plant.master.pk}/extras/",
        "node-form": f"{node}{plant.master.pk}/change/",
        "node-add": f"{node}add/",
        "syncs": "/admin/sesam/sync/",
        "stores": "/admin/sesam/secretstore/",
        "store": f"/admin/sesam/secretstore/{plant.store.pk}/page/",
        "store-form": f"/admin/sesam/secretstore/{plant.store.pk}/change/",
    }
    wrong = surfer.look_at(pages, look_name(look))
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def setting(
    transactional_db: None,
    git_repo: Callable[..., GitRepo],
    fake_node: FakeNode,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> Setting:
    """A node with two pipes that follows a repository, which wants one of them otherwise and another one besides."""
    tiny_patience(monkeypatch)
    made = setting_made(git_repo("conf"), fake_node, apply_mode="push")
    made.hold(conf_pipe("orders"), conf_pipe("old"))
    made.commit(conf_pipe("orders", batch_size=5), conf_pipe("crm"), subject="Fetch from the CRM")
    return made


def newest() -> Sync:
    return Sync.objects.select_related("run").order_by("-id")[0]


def test_plan_apply_and_restore(setting: Setting, signed: Callable[..., Surfer]) -> None:
    surfer, node = signed(), setting.node
    page = surfer.go(f"/admin/sesam/node/{node.pk}/control/")
    page.click("#control-gate button:has-text('Plan')")
    page.wait_for_selector("#plan:has-text('Nothing is changed anywhere.')")
    carried_out(newest())
    page.wait_for_selector("#plan .sesam-figures")  # it appears by itself
    page.wait_for_selector("#history .dp-good:has-text('Succeeded')")
    assert page.inner_text("#plan .sesam-figures").split() == ["+1", "new", "~1", "changed", "−1", "removed"]
    assert set(setting.fake.entities) == {"orders", "old"}

    page.click("button:has-text('Apply…')")
    dialog = page.locator("#apply-dialog[open]")
    dialog.wait_for()
    assert "main, its newest commit" in dialog.inner_text()
    assert "+1 ~1 −1 (as planned for " in dialog.inner_text()
    surfer.shoot("node-dialog-light", full=False)
    page.keyboard.press("Escape")
    assert not Sync.objects.filter(action="sync").exists()
    page.click("button:has-text('Apply…')")
    page.keyboard.press("Tab")  # from Cancel, where the focus begins
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/runs/run/*/change/")
    assert page.locator(f"a[href='/admin/sesam/node/{node.pk}/control/']").count() >= 1
    assert carried_out(newest()).state == RunState.SUCCEEDED
    assert set(setting.fake.entities) == {"orders", "crm"}

    surfer.go(f"/admin/sesam/node/{node.pk}/control/")
    page.click("#control-restore a:has-text('Restore…')")
    assert "old pipe" in page.inner_text("form.dp-card").replace("\n", " ")
    page.click("button:has-text('Restore')")
    page.wait_for_url("**/admin/runs/run/*/change/")
    assert carried_out(newest()).state == RunState.SUCCEEDED
    assert set(setting.fake.entities) == {"orders", "old"}

    surfer.go(f"/admin/sesam/node/{node.pk}/control/")
    assert "Automatic applying is paused." in page.inner_text("#control-banners")
    page.click("#control-banners button:has-text('Resume')")
    page.wait_for_selector("text=Automatic applying goes on.")
    surfer.go(f"/admin/sesam/node/{node.pk}/control/")
    surfer.shoot("node-real-light")
    assert surfer.faults() == []


def test_without_a_script_one_can_apply(setting: Setting, surf: Callable[..., Surfer], live_server: object) -> None:
    surfer = surf(live_server.url, script=False)  # type: ignore[attr-defined]
    User.objects.create_superuser("owner", password=PASSWORD)
    surfer.sign_in("owner", PASSWORD)
    page = surfer.go(f"/admin/sesam/node/{setting.node.pk}/control/")
    page.click("button:has-text('Apply…')")
    assert "not known: there is no plan" in page.inner_text("form.dp-card")
    assert not Sync.objects.exists()
    page.click("form.dp-card button:has-text('Apply')")
    page.wait_for_url("**/admin/runs/run/*/change/")
    assert carried_out(newest()).state == RunState.SUCCEEDED
    assert set(setting.fake.entities) == {"orders", "crm"}


def dialog_says(page: Any, words: str, expected: bool) -> None:
    """Wait until the open dialog shows these words, or does not: its text is hidden, not taken away."""
    look = "([words, so]) => document.querySelector('#apply-dialog[open]')?.innerText.includes(words) === so"
    page.wait_for_function(look, arg=[words, expected])


def test_questions_are_answered_by_check_boxes(setting: Setting, signed: Callable[..., Surfer]) -> None:
    setting.hold(*(conf_pipe(f"pipe-{number}") for number in range(30)))
    surfer = signed()
    page = surfer.go(f"/admin/sesam/node/{setting.node.pk}/control/")
    page.click("#control-gate button:has-text('Plan')")
    page.wait_for_selector("#plan:has-text('Nothing is changed anywhere.')")
    carried_out(newest())
    page.wait_for_selector("#control-gate .sesam-questions")
    page.click("button:has-text('Apply…')")
    dialog_says(page, "A question is not confirmed", True)
    page.keyboard.press("Escape")
    page.check("#control-gate [name=confirm]")
    page.click("button:has-text('Apply…')")
    dialog_says(page, "A question is not confirmed", False)
    page.click("#apply-dialog [data-yes]")
    page.wait_for_url("**/admin/runs/run/*/change/")
    assert carried_out(newest()).state == RunState.SUCCEEDED
    assert set(setting.fake.entities) == {"orders", "crm"}
