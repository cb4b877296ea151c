"""Sesam nodes on the start page and in the doctor's findings."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from apps.access.levels import Level
from apps.access.models import Freeze
from apps.repos.models import Repository
from apps.sesam.models import Node, Sync
from apps.sesam.states import NodeState
from deploypanel.dashboard import board_read
from deploypanel.doctor import nodes, subjects
from deploypanel.node_board import SHOWN
from tests.support.cast import grant

pytestmark = pytest.mark.django_db


@pytest.fixture
def conf() -> Repository:
    return Repository.objects.create(name="conf", url="https://forge.example/conf.git")


def node_of(conf: Repository, name: str = "dev", **fields: Any) -> Node:
    given: dict[str, Any] = {"url": "https://dev.example/api", "jwt": "x", "repository": conf}
    return Node.objects.create(name=name, **(given | fields))


def told() -> list[str]:
    findings = [*nodes.nodes(), *subjects.repositories()]
    assert all(finding.remedy for finding in findings)
    return [f"{finding.about} {finding.text}" for finding in findings]


def test_counts_and_the_gravest_first(conf: Repository, owner: User) -> None:
    states = [NodeState.IN_SYNC] * 2 + [NodeState.DRIFTED, NodeState.UNREACHABLE, NodeState.HALF]
    for number, state in enumerate(states):
        node_of(conf, f"n{number}", state=state)
    node_of(conf, "away", state=NodeState.UNREACHABLE, enabled=False)
    board = board_read(owner).nodes
    assert [tile.node.name for tile in board.tiles] == ["n4", "n3", "n2", "n0", "n1", "away"]
    assert [(one.state.value, one.number) for one in board.counts] == [
        ("half", 1), ("unreachable", 1), ("drifted", 1), ("in_sync", 2), ("off", 1),
    ]  # fmt: skip
    assert board.troubled == 3


def test_what_stands_in_the_way_is_flagged(conf: Repository, owner: User) -> None:
    node = node_of(conf, verify_tls=False, apply_mode="push", auto_paused_at=timezone.now(), auto_paused_reason="Why")
    Freeze.objects.create(subject=conf, reason="Inventory", starts_at=timezone.now(), author_name="owner")
    (tile,) = board_read(owner).nodes.tiles
    assert [flag.text for flag in tile.flags] == ["Frozen", "Applying paused", "TLS not verified"]
    assert tile.node == node


def test_the_page_shows_them(conf: Repository, owner: User, client: Client) -> None:
    node_of(conf, state=NodeState.DRIFTED, state_detail="1 changed")
    for number in range(SHOWN):
        node_of(conf, f"quiet-{number}", state=NodeState.IN_SYNC)
    client.force_login(owner)
    page = client.get("/admin/").content.decode()
    assert "1 drifted" in page
    assert f"{SHOWN} in sync" in page
    assert "1 more" in page
    assert f"/admin/sesam/node/{Node.objects.get(name='dev').pk}/control/" in page
    assert "1 drifted" in client.get("/admin/start.json").json()["start-nodes"]


def test_who_sees_which(conf: Repository, teammate: User) -> None:
    seen = node_of(conf, "seen")
    node_of(conf, "unseen")
    assert board_read(teammate).nodes.tiles == ()
    grant(teammate, seen, Level.VIEW)
    assert [tile.node.name for tile in board_read(teammate).nodes.tiles] == ["seen"]


def test_many_cost_as_many_queries_as_one(
    conf: Repository, owner: User, client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client.force_login(owner)
    node_of(conf)
    client.get("/admin/")
    with CaptureQueriesContext(connection) as one:
        client.get("/admin/")
    for number in range(20):
        node_of(conf, f"n{number}")
    with django_assert_num_queries(len(one)):
        client.get("/admin/")


def test_the_doctor_finds_nothing_wrong_with_a_sound_node(conf: Repository) -> None:
    node_of(conf, state=NodeState.IN_SYNC)
    node_of(conf, "local", url="http://127.0.0.1:9042/api", verify_tls=False)
    node_of(conf, "off", enabled=False, state=NodeState.UNREACHABLE, verify_tls=False)
    assert told() == []


def test_the_doctor_names_what_is_wrong_with_nodes(conf: Repository, teammate: User) -> None:
    sync = Sync.objects.create(node_name="half", run_number=7, requested_name="owner")
    node_of(conf, "half", owed=sync, state=NodeState.HALF, state_detail="The variables are new.")
    node_of(conf, "mute", state=NodeState.UNREACHABLE, state_detail="It refuses connections.")
    node_of(conf, "open", verify_tls=False)
    node_of(conf, "never", apply_mode="heal", interval=None)
    node_of(conf, "pushed", apply_mode="push", sync_as=teammate)
    found = told()
    assert found[0] == "node half is half changed since run #7: The variables are new."
    assert found[1].startswith("node mute has not answered since ")
    assert found[1].endswith("It refuses connections.")
    assert "certificate" in found[3]
    assert [line.split()[1] for line in found] == ["half", "mute", "never", "open", "pushed", "conf"]
    assert "teammate, who may not sync it" in found[4]
    assert "syncs nodes on push, but has neither" in found[5]
    grant(teammate, Node.objects.get(name="pushed"), Level.IN_HOURS)
    assert len(told()) == len(found) - 1
