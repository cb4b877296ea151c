"""Deliveries in the admin: to read, and to send again; each person sees what they may."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from apps.access.levels import Level
from apps.environments.models import Environment
from apps.runs.models import Run
from apps.triggers.models import Delivery
from tests.support.cast import grant
from tests.triggers.conftest import SECRET

pytestmark = [pytest.mark.django_db, pytest.mark.database]
Call = Callable[..., Any]
LIST = "/admin/triggers/delivery/"


@pytest.fixture
def delivery(staging: Environment, call: Call) -> Delivery:
    call("github", "github_push", delivery="one", changes={"evil": "<script>alert(1)</script>"})
    return Delivery.objects.get()


def test_owner_reads_it(client: Client, owner: User, delivery: Delivery) -> None:
    client.force_login(owner)
    page = client.get(LIST).content.decode()
    assert "GitHub" in page
    assert f"run #{Run.objects.get().pk}" in page
    one = client.get(reverse("admin:triggers_delivery_change", args=[delivery.pk])).content.decode()
    for text in ("shop/staging", "Sell tulips", "Send again", "&lt;script&gt;alert"):
        assert text in one, text
    assert "<script>alert" not in one
    assert SECRET not in one
    repository = client.get(reverse("admin:repos_repository_page", args=[delivery.repository_id])).content.decode()
    assert reverse("admin:triggers_delivery_change", args=[delivery.pk]) in repository


def test_send_again_is_a_post(client: Client, owner: User, delivery: Delivery) -> None:
    client.force_login(owner)
    address = reverse("admin:triggers_delivery_resend", args=[delivery.pk])
    assert client.get(address).status_code == 405
    Run.objects.update(state="failed")
    answer = client.post(address, follow=True)
    assert "Sent again: run #" in answer.content.decode()
    assert Run.objects.count() == 2
    assert Delivery.objects.filter(replay_of=delivery).count() == 1


def test_outsider_gets_nothing(client: Client, outsider: User, delivery: Delivery) -> None:
    client.force_login(outsider)
    assert client.get(LIST).status_code in {302, 403}
    assert client.get(reverse("admin:triggers_delivery_change", args=[delivery.pk])).status_code in {302, 403, 404}
    assert client.post(reverse("admin:triggers_delivery_resend", args=[delivery.pk])).status_code in {302, 403, 404}
    assert Run.objects.count() == 1


def test_who_sees_another_environment_only(client: Client, teammate: User, delivery: Delivery) -> None:
    other = Environment.objects.create(repository=delivery.repository, name="other", target_path="/srv/o")
    grant(teammate, other, Level.VIEW)
    client.force_login(teammate)
    address = reverse("admin:triggers_delivery_change", args=[delivery.pk])
    for page in (client.get(LIST), client.get(address)):
        text = page.content.decode()
        assert page.status_code == 200
        assert "shop/staging" not in text
        assert f"run #{Run.objects.get().pk}" not in text
        assert "Send again" not in text
    client.post(reverse("admin:triggers_delivery_resend", args=[delivery.pk]))
    assert Run.objects.count() == 1


@pytest.mark.parametrize("number", ["0", "999999", "x", "../1"])
def test_no_such_delivery(client: Client, owner: User, number: str) -> None:
    client.force_login(owner)
    assert client.get(f"{LIST}{number}/change/").status_code == 404


def test_long_bodies_are_cut(staging: Environment, call: Call) -> None:
    call("github", "github_push", changes={"long": "x" * 200_000})
    assert len(Delivery.objects.get().body) == 64 * 1024
    assert json.dumps(Delivery.objects.get().pushes)
