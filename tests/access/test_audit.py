"""The trail: append-only in the database itself, and complete."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.test import Client

from apps.access import audit
from apps.access.actor import Actor, Door
from apps.access.levels import Level
from apps.access.models import AuditEntry
from apps.access.selectors import audit_visible
from apps.environments.models import Environment
from tests.support.cast import PASSWORD, grant

pytestmark = [pytest.mark.database, pytest.mark.django_db]

OPERATOR = Actor(user=None, door=Door.COMMAND, behind="root")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE access_auditentry SET actor = 'nobody'",
        "UPDATE access_auditentry SET allowed = NOT allowed WHERE id > 0",
        "DELETE FROM access_auditentry",
    ],
)
def test_database_refuses_changes(statement: str) -> None:
    audit.record(actor=OPERATOR, action="deploy")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditEntry.objects.get().actor == "operator"


def test_models_refuse_changes_before_the_database_does() -> None:
    entry = audit.record(actor=OPERATOR, action="deploy")
    with pytest.raises(TypeError):
        entry.save()
    with pytest.raises(TypeError):
        entry.delete()
    with pytest.raises(DatabaseError), transaction.atomic():
        AuditEntry.objects.update(actor="nobody")
    with pytest.raises(DatabaseError), transaction.atomic():
        AuditEntry.objects.all().delete()


def test_trail_outlives_person_and_subject(teammate: User, prod: Environment) -> None:
    actor = Actor(user=teammate, door=Door.ADMIN)
    audit.record(actor=actor, action="deploy", subject=prod)
    prod.delete()
    teammate.delete()
    assert str(AuditEntry.objects.get()) == "teammate deploy shop/prod"


def test_long_names_do_not_lose_the_entry(prod: Environment) -> None:
    actor = Actor(user=None, door=Door.WEBHOOK, behind="x" * 500, address="y" * 500)
    assert len(audit.record(actor=actor, action="z" * 100).behind) == 150


@pytest.mark.parametrize(("level", "sees"), [(0, False), (1, False), (2, False), (3, False), (4, True)])
def test_trail_is_shown_to_who_configures(teammate: User, prod: Environment, level: int, sees: bool) -> None:
    audit.record(actor=OPERATOR, action="deploy", subject=prod)
    audit.record(actor=OPERATOR, action="secrets.rotate")
    grant(teammate, prod, Level(level))
    assert [entry.action for entry in audit_visible(teammate)] == (["deploy"] if sees else [])


def test_signing_in_and_out_and_failing_to(client: Client, owner: User) -> None:
    page = "/admin/login/?next=/admin/"
    client.post(page, {"username": "owner", "password": "wrong"}, REMOTE_ADDR="192.0.2.9")
    client.post(page, {"username": "owner", "password": PASSWORD}, REMOTE_ADDR="192.0.2.9")
    client.post("/admin/logout/")
    told = [(e.action, e.allowed, e.actor, e.address) for e in AuditEntry.objects.order_by("id")]
    assert told == [
        ("login", False, "nobody", "192.0.2.9"),
        ("login", True, "owner", "192.0.2.9"),
        ("logout", True, "owner", "127.0.0.1"),
    ]
    failed = AuditEntry.objects.get(allowed=False)
    assert failed.detail == {"tried": "owner"}
    assert failed.actor_id is None
    assert not AuditEntry.objects.filter(detail__icontains="wrong").exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("time", [1, 2])
def test_trail_is_emptied_between_tests_and_guarded_in_each(time: int) -> None:
    assert not AuditEntry.objects.exists()
    audit.record(actor=OPERATOR, action="deploy")
    with pytest.raises(DatabaseError, match="append-only"):
        AuditEntry.objects.all().delete()
