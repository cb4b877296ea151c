"""The database: reachable, migrated, in the mode we rely on, and readable with our keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection
from django.utils import timezone

from apps.access.errors import DecryptionError
from apps.access.fields import Sealed
from apps.access.services.rotation import secret_fields
from deploypanel.doctor.finding import Finding
from deploypanel.prepare import migrations_missing

if TYPE_CHECKING:
    from collections.abc import Iterator

SKEW = 2.0  # seconds that this machine's clock may differ from the database's


def migrations() -> Iterator[Finding]:
    if missing := migrations_missing():
        text = f"lacks {len(missing)} migrations ({', '.join(missing[:3])}…)"
        yield Finding(about="the database", text=text, remedy="manage.py migrate")


def sqlite_mode() -> Iterator[Finding]:
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        mode = cursor.fetchone()[0]
    if mode not in {"wal", "memory"}:
        remedy = "put the data folder on a local disk: SQLite's WAL works on no network file system"
        yield Finding(about="the database", text=f"keeps its journal as {mode}, not as WAL", remedy=remedy)


def time_skew() -> Iterator[Finding]:
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        skew = abs((cursor.fetchone()[0] - timezone.now()).total_seconds())
    if skew > SKEW:
        text = f"differs from the database's by {skew:.0f} s"
        yield Finding(about="this machine's clock", text=text, remedy="let both keep time by NTP")


def secrets() -> Iterator[Finding]:
    """Secrets that were written with a key that is not in the ring."""
    remedy = "put the key they were written with back into DEPLOYPANEL_KEY_RING, or enter them anew"
    for model, name in secret_fields():
        unreadable = 0
        for value in model._default_manager.exclude(**{name: ""}).values_list(name, flat=True):
            unreadable += isinstance(value, Sealed) and not _opens(value)
        if unreadable:
            text = f"{unreadable} of the stored secrets cannot be read with this installation's keys"
            yield Finding(about=f"{model._meta.verbose_name}, {name}", text=text, remedy=remedy)


def _opens(sealed: Sealed) -> bool:
    try:
        sealed.open()
    except DecryptionError:
        return False
    return True
