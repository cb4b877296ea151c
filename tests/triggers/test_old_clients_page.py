"""The page on which administrators let old clients in."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.access.models import AuditEntry
from apps.triggers.models import OldProtocol
from apps.triggers.services.secrets import server_secret_is_set, server_secret_opens

pytestmark = [pytest.mark.django_db]

PAGE = "/admin/triggers/oldprotocol/"
SECRET = "the old server's secret"


@pytest.fixture
def boss(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def test_secret_lets_them_in_and_out(boss: Client) -> None:
    assert ">Off<" in boss.get(PAGE).content.decode()
    page = boss.post(f"{PAGE}secret/", {"secret": SECRET}, follow=True).content.decode()
    assert ">On<" in page
    assert SECRET not in page
    assert server_secret_opens(SECRET)
    boss.post(f"{PAGE}secret/", {"secret": " "})
    assert server_secret_opens(SECRET)  # an empty box is no new secret
    boss.post(f"{PAGE}off/")
    assert not server_secret_is_set()
    assert SECRET not in str(list(AuditEntry.objects.values()))


def test_making_unknown_triggers_is_a_choice(boss: Client) -> None:
    boss.post(f"{PAGE}unknown/", {})
    assert not OldProtocol.objects.get().create_unknown
    boss.post(f"{PAGE}unknown/", {"create_unknown": "1"})
    assert OldProtocol.objects.get().create_unknown
    assert OldProtocol.objects.count() == 1


def test_environment_goes_before_the_page(boss: Client, settings: object) -> None:
    settings.PROSTAGMA_SECRET = SECRET  # type: ignore[attr-defined]
    page = boss.get(PAGE).content.decode()
    assert "DEPLOYPANEL_PROSTAGMA_SECRET" in page
    told = boss.post(f"{PAGE}secret/", {"secret": "another"}, follow=True).content.decode()
    assert "change it there" in told


@pytest.mark.database
def test_others_may_not(client: Client, teammate: User) -> None:
    client.force_login(teammate)
    assert client.get(PAGE).status_code == 403
    for act in ("secret", "off", "unknown"):
        assert client.post(f"{PAGE}{act}/", {"secret": SECRET}).status_code == 403
    assert not OldProtocol.objects.exists()
