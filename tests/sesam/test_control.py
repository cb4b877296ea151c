"""A node's page by level: who sees what, and what it says of each state."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.access.levels import Level
from apps.sesam.models import Node
from tests.sesam import rows
from tests.support.cast import grant

pytestmark = [pytest.mark.django_db]

SignIn = Callable[[Level], Client]


def address(node: Node, page: str = "control/") -> str:
    return f"/admin/sesam/node/{node.pk}/{page}"


@pytest.fixture
def node(db: None) -> Node:
    return rows.node_make("dev")


@pytest.fixture
def as_level(client: Client, teammate: User, node: Node) -> SignIn:
    def sign_in(level: Level) -> Client:
        grant(teammate, node, level)
        client.force_login(teammate)
        return client

    return sign_in


@pytest.mark.parametrize("page", ["control/", "live/", "extras/", "snapshot/1/"])
def test_outsider_finds_nothing(client: Client, outsider: User, node: Node, page: str) -> None:
    client.force_login(outsider)
    answer = client.get(address(node, page))
    assert answer.status_code == 404
    assert b"dev.example" not in answer.content


def test_viewer_sees_no_buttons(as_level: SignIn, node: Node) -> None:
    rows.sync_make(node, 1)
    html = as_level(Level.VIEW).get(address(node)).content.decode()
    assert rows.SUBJECTS[1] in html
    for word in ("Apply…", "Check now", "Restore", "Configure", "Grants", "Switch off…"):
        assert f">{word}<" not in html
    assert 'method="post"' not in html.split('id="content"')[1]
