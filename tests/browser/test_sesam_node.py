"""Nodes, their extra nodes and secret stores, looked at in light, dark and on a phone, over rows made directly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.models import BusinessHours
from apps.repos.services import repository_fetch
from apps.runs.states import RunState
from apps.sesam.models import ExtraNode, Node, SecretStore, Snapshot
from tests.browser.conftest import Surfer
from tests.browser.test_pages import LOOKS, look_name
from tests.sesam import rows
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
        surfer.sign_in("owner", PASSWORD)
        return surfer

    return enter


@pytest.mark.parametrize("look", LOOKS, ids=look_name)
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
    wrong = []
    for name, address in pages.items():
        surfer.go(address)
        surfer.page.wait_for_load_state("networkidle")
        surfer.shoot(f"{name}-{look_name(look)}")
        wrong += [f"{name}: {fault}" for fault in surfer.faults()]
    assert not wrong, "\n".join(wrong)
