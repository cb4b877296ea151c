"""The fixed cast of every test: owner (superuser), teammate (staff, what a test grants), outsider (staff, nothing)."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User

from apps.access.levels import CODENAMES, Level
from apps.access.models import Subject, SubjectGroupPermission, SubjectUserPermission

PASSWORD = "correct horse battery staple"


def grant(holder: User | Group, subject: Subject, level: Level) -> None:
    """Gives a right directly in the database, past every service; NONE takes it away."""
    table, field = (SubjectUserPermission, "user") if isinstance(holder, User) else (SubjectGroupPermission, "group")
    table.objects.filter(**{field: holder}, content_object_id=subject.pk).delete()
    if level is not Level.NONE:
        permission = Permission.objects.get(codename=CODENAMES[level], content_type__app_label="access")
        base = Subject.objects.get(pk=subject.pk)
        table.objects.create(**{field: holder}, permission=permission, content_object=base)


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create_superuser("owner", "owner@example.com", PASSWORD)


@pytest.fixture
def teammate(db: None) -> User:
    return User.objects.create_user("teammate", "teammate@example.com", PASSWORD, is_staff=True)


@pytest.fixture
def outsider(db: None) -> User:
    return User.objects.create_user("outsider", "outsider@example.com", PASSWORD, is_staff=True)
