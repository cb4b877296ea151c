"""What is known about triggers and deliveries, and which repository a call is about."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from django.db import connection

from apps.access.errors import InputError, NotFound
from apps.access.permissions import subjects_visible
from apps.access.spelling import closest
from apps.repos.models import Repository
from apps.repos.remote import remote_parse
from apps.triggers.models import Trigger

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.db.models import QuerySet

    from apps.triggers.webhooks import Names

NEAR_AMONG = 2000  # names looked at for one that is like a wrong one


def triggers_visible(user: User | None) -> QuerySet[Trigger]:
    """The triggers that this person may see; of the operator (None), all."""
    triggers = Trigger.objects.order_by("name")
    return triggers if user is None else triggers.filter(pk__in=subjects_visible(user, "trigger").values("pk"))


def trigger_named(name: str, user: User | None) -> Trigger:
    """The trigger that `user` may see; raises NotFound with the nearest name."""
    found = triggers_visible(user).filter(name=name.replace("\x00", "")).select_related("hours").first()
    if found is None:
        near = closest(name, triggers_visible(user).values_list("name", flat=True)[:NEAR_AMONG])
        raise NotFound(f"no trigger is called {name[:150]!r}{near}")
    return found


def repositories_told(names: Names, name: str = "") -> list[Repository]:
    """The repositories that a call may be about: by the panel's `name` for one, by address, or by full name.

    An address goes before a name, and several may fit: the secret decides among them.
    """
    if name:
        return list(Repository.objects.filter(name=name))
    known = [(pk, own, *_identity(url)) for pk, own, url in _addresses()]
    found = [pk for pk, _own, identity, _full in known if identity in names.identities]
    if not found:
        found = [pk for pk, own, _identity, full in known if full in names.names or own.lower() in names.names]
    return list(Repository.objects.order_by().filter(pk__in=found or [0]))  # asked in any case: it takes as long


def _addresses() -> list[tuple[int, str, str]]:
    """Number, name and URL of every repository. By hand: in a burst, building this query took longer than asking it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT subject_id, name, url FROM repos_repository")
        rows: list[tuple[int, str, str]] = cursor.fetchall()
    return rows


@lru_cache(maxsize=8192)
def _identity(url: str) -> tuple[str, str]:
    """The identity and the full name in small letters of a repository's URL; of one that cannot be read, neither."""
    try:
        remote = remote_parse(url)
    except InputError:
        return "\x00", "\x00"
    return remote.identity, remote.full_name.lower()


def repositories_due(now: datetime) -> list[Repository]:
    """Those that are polled and whose interval is over; who was never looked at, first."""
    polled = Repository.objects.filter(poll_interval__isnull=False).only("pk", "poll_interval", "polled_at")
    due = [
        one
        for one in polled
        if one.polled_at is None or (now - one.polled_at).total_seconds() >= (one.poll_interval or 0)
    ]
    return sorted(due, key=lambda one: (one.polled_at is not None, one.polled_at or now))
