"""Personal API tokens: shown once, kept as a digest, theirs alone, and of no use once they ended."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from apps.access.actor import Actor, Door
from apps.access.errors import Conflict, InputError, Refused
from apps.access.models import ApiToken, AuditEntry
from apps.access.services import api_token_create, api_token_open, api_token_revoke, tokens

pytestmark = pytest.mark.django_db


def acting(user: User) -> Actor:
    return Actor(user=user, door=Door.ADMIN)


def test_a_token_opens_for_its_person_and_is_kept_as_a_digest(teammate: User) -> None:
    token, plain = api_token_create(actor=acting(teammate), name="nightly", days=30)
    assert plain.startswith("dp_")
    assert len(plain) > 40
    row = ApiToken.objects.values().get()
    assert plain not in str(row)
    assert plain.startswith(row["hint"])
    found = api_token_open(plain, "192.0.2.1")
    assert found is not None
    assert found.user == teammate
    token.refresh_from_db()
    assert token.last_address == "192.0.2.1"
    assert token.last_used_at is not None
    assert [api_token_open(wrong) for wrong in ("", "dp_", plain[:-1], plain + "x", plain[3:], "dp_\ud800")] == [
        None
    ] * 6
    assert plain not in str(AuditEntry.objects.values())


def test_it_ends(teammate: User) -> None:
    token, plain = api_token_create(actor=acting(teammate), name="short", days=1)
    ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert api_token_open(plain) is None
    _, forever = api_token_create(actor=acting(teammate), name="long", days=None)
    assert api_token_open(forever) is not None
    User.objects.filter(pk=teammate.pk).update(is_active=False)
    assert api_token_open(forever) is None


def test_only_its_person_and_administrators_withdraw_it(teammate: User, outsider: User, owner: User) -> None:
    token, plain = api_token_create(actor=acting(teammate), name="nightly", days=30)
    with pytest.raises(Refused):
        api_token_revoke(actor=acting(outsider), token=token)
    assert api_token_open(plain) is not None
    api_token_revoke(actor=acting(owner), token=token)
    assert api_token_open(plain) is None
    assert [
        (row.actor, row.allowed) for row in AuditEntry.objects.filter(action="api_token.revoke").order_by("pk")
    ] == [
        ("outsider", False),
        ("owner", True),
    ]


def test_what_cannot_be(teammate: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, days in (("", 30), ("x" * 81, 30), ("x\x00", 30), ("x", 0), ("x", 367)):
        with pytest.raises(InputError):
            api_token_create(actor=acting(teammate), name=name, days=days)
    for nobody in (Actor(user=None, door=Door.SYSTEM), Actor(user=None, door=Door.API, by_secret=True)):
        with pytest.raises(Refused):
            api_token_create(actor=nobody, name="x", days=30)
    monkeypatch.setattr(tokens, "TOKENS_MOST", 1)
    api_token_create(actor=acting(teammate), name="one", days=30)
    with pytest.raises(Conflict):
        api_token_create(actor=acting(teammate), name="two", days=30)


def test_the_pages(teammate: User, outsider: User, client: Client) -> None:
    client.force_login(teammate)
    page = client.post("/admin/access/apitoken/add/", {"name": "nightly <b>", "days": "30"})
    assert page.status_code == 200
    found = re.search(r"dp_[\w-]{43}", page.content.decode())
    assert found is not None
    token = api_token_open(found[0])
    assert token is not None
    assert token.user == teammate
    listed = client.get("/admin/access/apitoken/").content.decode()
    assert "nightly &lt;b&gt;" in listed
    assert found[0] not in listed
    assert client.get(f"/admin/access/apitoken/{token.pk}/change/").status_code == 200
    assert client.post("/admin/access/apitoken/add/", {"name": "x", "days": "9999"}).status_code == 200
    assert ApiToken.objects.count() == 1
    client.force_login(outsider)
    assert "nightly" not in client.get("/admin/access/apitoken/").content.decode()
    client.post(f"/admin/access/apitoken/{token.pk}/delete/", {"post": "yes"})
    assert ApiToken.objects.count() == 1
    client.force_login(teammate)
    client.post(f"/admin/access/apitoken/{token.pk}/delete/", {"post": "yes"})
    assert ApiToken.objects.count() == 0
