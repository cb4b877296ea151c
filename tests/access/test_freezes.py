"""Freezes: who may make, change and end which; by service and by admin."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from apps.access.actor import Actor, Door
from apps.access.errors import InputError, Refused
from apps.access.levels import Level
from apps.access.models import AuditEntry, Freeze
from apps.access.selectors import freezes_on, freezes_visible
from apps.access.services import freeze_change, freeze_create, freeze_end
from apps.environments.models import Environment
from apps.repos.models import Repository
from tests.support.cast import grant

pytestmark = [pytest.mark.database, pytest.mark.django_db]

OPERATOR = Actor(user=None, door=Door.COMMAND)
LIST = "/admin/access/freeze/"


def by(user: User) -> Actor:
    return Actor(user=user, door=Door.ADMIN)


@pytest.mark.parametrize("level", list(Level))
def test_freeze_needs_configure(teammate: User, prod: Environment, level: Level) -> None:
    grant(teammate, prod, level)
    if level is Level.CONFIGURE:
        freeze = freeze_create(actor=by(teammate), subject=prod, reason="audit")
        assert (freeze.author, freeze.author_name) == (teammate, "teammate")
        return
    with pytest.raises(Refused):
        freeze_create(actor=by(teammate), subject=prod, reason="audit")
    assert not Freeze.objects.exists()
    assert not AuditEntry.objects.get().allowed


def test_freeze_of_everything_is_for_superusers(owner: User, teammate: User, prod: Environment) -> None:
    grant(teammate, prod, Level.CONFIGURE)
    with pytest.raises(Refused, match="Only an administrator"):
        freeze_create(actor=by(teammate), reason="audit")
    freeze = freeze_create(actor=by(owner), reason="audit")
    with pytest.raises(Refused):
        freeze_end(actor=by(teammate), freeze=freeze)
    freeze_end(actor=OPERATOR, freeze=freeze)


def test_freeze_end_keeps_the_row_and_frees_the_subject(prod: Environment) -> None:
    freeze = freeze_create(actor=OPERATOR, subject=prod, reason="audit")
    assert freezes_on(prod, timezone.now()).exists()
    freeze_end(actor=OPERATOR, freeze=freeze)
    assert not freezes_on(prod, timezone.now()).exists()
    assert Freeze.objects.get().ends_at is not None


def test_freeze_end_of_one_to_come_calls_it_off(prod: Environment) -> None:
    start = timezone.now() + dt.timedelta(days=1)
    freeze_end(actor=OPERATOR, freeze=freeze_create(actor=OPERATOR, subject=prod, reason="audit", starts_at=start))
    assert not Freeze.objects.exists()
    assert [entry.action for entry in AuditEntry.objects.order_by("id")] == ["freeze", "freeze.end"]


def test_freeze_end_twice_keeps_the_first_end(prod: Environment) -> None:
    freeze = freeze_end(actor=OPERATOR, freeze=freeze_create(actor=OPERATOR, subject=prod, reason="audit"))
    first = freeze.ends_at
    assert freeze_end(actor=OPERATOR, freeze=Freeze.objects.get()).ends_at == first


def test_freeze_cannot_be_moved_to_what_one_does_not_configure(
    teammate: User, prod: Environment, staging: Environment
) -> None:
    grant(teammate, prod, Level.CONFIGURE)
    freeze = freeze_create(actor=by(teammate), subject=prod, reason="audit")
    for target in (staging, None):
        with pytest.raises(Refused):
            freeze_change(actor=by(teammate), freeze=Freeze.objects.get(pk=freeze.pk), subject=target)
    assert Freeze.objects.get().subject_id == prod.pk


@pytest.mark.parametrize("values", [{"reason": " "}, {"reason": "x", "hours": -1}, {"reason": "x", "hours": 0}])
def test_freeze_wants_a_reason_and_an_end_after_its_start(prod: Environment, values: dict[str, Any]) -> None:
    now = timezone.now()
    end = now + dt.timedelta(hours=values["hours"]) if "hours" in values else None
    with pytest.raises(InputError):
        freeze_create(actor=OPERATOR, subject=prod, reason=values["reason"], starts_at=now, ends_at=end)


def test_freezes_visible(owner: User, teammate: User, outsider: User, shop: Repository, prod: Environment) -> None:
    other = Repository.objects.create(name="blog", url="file:///srv/git/blog.git")
    for subject in (None, shop, prod, other):
        freeze_create(actor=OPERATOR, subject=subject, reason=str(subject))
    grant(teammate, prod, Level.VIEW)
    assert {freeze.reason for freeze in freezes_visible(owner)} == {"None", "shop", "shop/prod", "blog"}
    assert {freeze.reason for freeze in freezes_visible(teammate)} == {"None", "shop", "shop/prod"}
    assert not freezes_visible(outsider).exists()


# --- the admin --------------------------------------------------------------------------------


def form(subject: Environment | None, reason: str = "audit") -> dict[str, Any]:
    return {
        "subject": subject.pk if subject else "",
        "reason": reason,
        "starts_at_0": "",
        "starts_at_1": "",
        "ends_at_0": "",
        "ends_at_1": "",
    }


def test_admin_makes_changes_and_ends(client: Client, teammate: User, prod: Environment) -> None:
    grant(teammate, prod, Level.CONFIGURE)
    client.force_login(teammate)
    assert client.post(f"{LIST}add/", form(prod)).status_code == 302
    freeze = Freeze.objects.get()
    assert (freeze.subject_id, freeze.author_name, freeze.ends_at) == (prod.pk, "teammate", None)
    assert "End now" in client.get(LIST).content.decode()
    start = timezone.localtime(freeze.starts_at)
    dates = {"starts_at_0": f"{start:%Y-%m-%d}", "starts_at_1": f"{start:%H:%M:%S}"}
    assert client.post(f"{LIST}{freeze.pk}/change/", form(prod, "longer audit") | dates).status_code == 302
    assert Freeze.objects.get().reason == "longer audit"
    assert client.get(f"{LIST}{freeze.pk}/end/").status_code == 405
    assert client.post(f"{LIST}{freeze.pk}/end/").status_code == 302
    assert Freeze.objects.get().ends_at
    actions = list(AuditEntry.objects.exclude(action="login").order_by("id").values_list("action", flat=True))
    assert actions == ["freeze", "freeze.change", "freeze.end"]


def test_admin_offers_only_what_one_configures(
    client: Client, owner: User, teammate: User, prod: Environment, staging: Environment
) -> None:
    grant(teammate, prod, Level.CONFIGURE)
    grant(teammate, staging, Level.ACT)
    client.force_login(teammate)
    text = client.get(f"{LIST}add/").content.decode()
    assert "shop/prod" in text
    assert "shop/staging" not in text
    assert "Everything" not in text
    for subject in (staging, None):
        assert client.post(f"{LIST}add/", form(subject)).status_code == 200
    assert not Freeze.objects.exists()
    client.force_login(owner)
    assert "Everything" in client.get(f"{LIST}add/").content.decode()
    assert client.post(f"{LIST}add/", form(None)).status_code == 302
    assert Freeze.objects.get().subject is None


def test_admin_keeps_others_out(client: Client, teammate: User, outsider: User, prod: Environment) -> None:
    freeze = freeze_create(actor=OPERATOR, subject=prod, reason="audit")
    everything = freeze_create(actor=OPERATOR, reason="all")
    grant(teammate, prod, Level.ACT)
    client.force_login(teammate)
    text = client.get(LIST).content.decode()
    assert "audit" in text
    assert "End now" not in text
    for one in (freeze, everything):
        assert client.get(f"{LIST}{one.pk}/change/").status_code == 200  # to read
        assert client.post(f"{LIST}{one.pk}/change/", form(prod, "mine")).status_code == 403
        assert client.post(f"{LIST}{one.pk}/delete/", {"post": "yes"}).status_code == 403
        client.post(f"{LIST}{one.pk}/end/")
    client.force_login(outsider)
    for url in (LIST, f"{LIST}add/", f"{LIST}{freeze.pk}/change/"):
        assert client.get(url).status_code in {302, 403, 404}
    assert client.post(f"{LIST}{freeze.pk}/end/").status_code == 404
    assert not Freeze.objects.exclude(ends_at=None).exists()
    assert set(Freeze.objects.values_list("reason", flat=True)) == {"audit", "all"}
