"""A push that the panel hears of reaches the nodes that follow the branch, and its answer names them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from apps.access.levels import Level
from apps.environments.models import Environment
from apps.repos.models import Repository
from apps.runs.models import Run
from apps.sesam.models import Node, Sync
from apps.triggers.models import Delivery
from tests.support.cast import grant
from tests.triggers.conftest import SECRET, body_of, call, headers_of, shop, staging

__all__ = ["SECRET", "call", "shop", "staging"]
pytestmark = pytest.mark.django_db
Call = Callable[..., HttpResponse]
AFTER = "c" * 40


@pytest.fixture
def node(shop: Repository) -> Node:
    return Node.objects.create(name="dev", url="http://127.0.0.1:1/api", jwt="x", repository=shop, apply_mode="push")


def push(client: Client, ref: str = "refs/heads/main", **more: Any) -> HttpResponse:
    body = body_of("git_push", ref=ref, before="b" * 40, after=AFTER)
    return client.post(  # type: ignore[return-value]
        "/hooks/git?repository=shop", body, "application/json", headers=headers_of("git", body) | more
    )


def test_a_push_syncs_the_nodes_of_its_branch(client: Client, node: Node) -> None:
    Node.objects.create(name="other", url=node.url, jwt="x", repository=node.repository, branch="v2", apply_mode="push")
    data = push(client).json()  # type: ignore[attr-defined]
    sync = Sync.objects.get()
    assert (sync.node, sync.commit) == (node, AFTER)
    assert data["runs"] == [sync.run_number]
    assert data["outcomes"] == [
        {"environment": "", "node": "dev", "run": sync.run_number, "text": f"run #{sync.run_number} started"}
    ]


def test_environments_and_nodes_are_told_side_by_side(client: Client, staging: Environment, node: Node) -> None:
    answer = push(client, Accept="text/plain")
    told = answer.content.decode().splitlines()
    assert [line.split(":")[0] for line in told] == ["shop/staging", "dev"]
    assert Run.objects.count() == 2
    assert Delivery.objects.get().runs.count() == 2


def test_a_tag_is_followed_too(client: Client, node: Node, staging: Environment) -> None:
    Node.objects.update(branch="v1")
    Environment.objects.update(branch="v1")
    push(client, "refs/tags/v1")
    assert Sync.objects.count() == 1
    assert Run.objects.count() == 1  # an environment deploys branches


def test_a_node_that_is_only_watched_is_looked_at_now(client: Client, node: Node) -> None:
    later = timezone.now() + timedelta(minutes=5)
    Node.objects.update(apply_mode="manual", check_after=later)
    other = Node.objects.create(name="other", url=node.url, jwt="x", repository=node.repository, branch="v2")
    Node.objects.filter(pk=other.pk).update(check_after=later)
    push(client)
    assert not Run.objects.exists()
    assert Node.objects.get(name="dev", check_after__lte=timezone.now())
    assert Node.objects.get(name="other", check_after=later)


def test_a_paused_node_says_so(client: Client, node: Node) -> None:
    Node.objects.update(auto_paused_at=timezone.now(), auto_paused_reason="We look into it.")
    (line,) = push(client).json()["outcomes"]  # type: ignore[attr-defined]
    assert line["node"] == "dev"
    assert "We look into it." in line["text"]
    assert not Run.objects.exists()


def test_nobody_reads_of_nodes_that_he_may_not_see(
    client: Client, node: Node, teammate: User, shop: Repository
) -> None:
    push(client)
    page = f"/admin/triggers/delivery/{Delivery.objects.get().pk}/change/"
    grant(teammate, shop, Level.VIEW)
    client.force_login(teammate)
    assert "<strong>dev</strong>" not in client.get(page).content.decode()
    grant(teammate, node, Level.VIEW)
    assert "<strong>dev</strong>" in client.get(page).content.decode()


def test_late_pushes_sync_nothing(client: Client, node: Node) -> None:
    push(client)
    Run.objects.all().update(state="succeeded", ended_at=timezone.now())
    body = body_of("git_push", ref="refs/heads/main", before="a" * 40, after="b" * 40)
    answer = client.post("/hooks/git?repository=shop", body, "application/json", headers=headers_of("git", body))
    assert "a later push was handled" in answer.json()["outcomes"][0]["text"]
    assert Sync.objects.count() == 1
