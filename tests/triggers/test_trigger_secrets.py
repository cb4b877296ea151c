"""Secrets of triggers: digests under the key ring, two live, and a ring that is rotated."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User

from apps.access.actor import Actor, Door
from apps.access.digests import Match, digest_matches, keyed_digest
from apps.access.errors import InputError, Refused
from apps.access.levels import Level
from apps.access.models import AuditEntry
from apps.triggers.models import OldProtocol, Trigger
from apps.triggers.services import secrets
from apps.triggers.services.secrets import (
    secret_digest,
    secret_opens,
    server_secret_is_set,
    server_secret_opens,
    server_secret_set,
    trigger_secret_forget,
    trigger_secret_rotate,
)
from tests.support.cast import grant

pytestmark = pytest.mark.django_db
OPERATOR = Actor(user=None, door=Door.COMMAND)


@pytest.fixture
def web(db: None) -> Trigger:
    return Trigger.objects.create(name="web")


def test_two_are_live_until_the_former_is_forgotten(web: Trigger) -> None:
    assert not secret_opens(web, "")
    first = trigger_secret_rotate(trigger=web, actor=OPERATOR)
    second = trigger_secret_rotate(trigger=web, actor=OPERATOR)
    assert [secret_opens(web, one) for one in (first, second, "", first + "x")] == [True, True, False, False]
    trigger_secret_forget(trigger=web, actor=OPERATOR)
    web.refresh_from_db()
    assert [secret_opens(web, one) for one in (first, second)] == [False, True]
    assert trigger_secret_rotate(trigger=web, actor=OPERATOR, secret=second) == second
    assert web.secret_digest_old == ""  # the same once more pushes nothing out
    assert first not in str(AuditEntry.objects.values())


def test_a_digest_is_of_no_use_without_the_ring(web: Trigger, settings: Any) -> None:
    plain = trigger_secret_rotate(trigger=web, actor=OPERATOR, secret="weak")
    assert plain not in web.secret_digest
    assert secret_digest("weak") == web.secret_digest
    assert keyed_digest("weak", "another purpose") != web.secret_digest
    settings.KEY_RING = Fernet.generate_key().decode()
    assert not secret_opens(web, plain)


def test_a_new_key_and_the_digest_moves_to_it_when_used(web: Trigger, settings: Any) -> None:
    plain = trigger_secret_rotate(trigger=web, actor=OPERATOR)
    server_secret_set(actor=OPERATOR, secret="of all")
    old, new = settings.KEY_RING, Fernet.generate_key().decode()
    settings.KEY_RING = f"{new},{old}"
    assert digest_matches([web.secret_digest, ""], plain, secrets.PURPOSE) == [Match.STALE, Match.NONE]
    assert secret_opens(web, plain)
    assert server_secret_opens("of all")
    settings.KEY_RING = new
    web.refresh_from_db()
    assert secret_opens(web, plain)
    assert server_secret_opens("of all")


def test_a_ring_that_another_process_rotated(
    web: Trigger, settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Fernet.generate_key().decode()
    mine, settings.KEY_RING = settings.KEY_RING, f"{new}\n{settings.KEY_RING}"
    plain = trigger_secret_rotate(trigger=web, actor=OPERATOR)
    (tmp_path / "ring").write_text(settings.KEY_RING)
    monkeypatch.setenv("DEPLOYPANEL_KEY_RING_FILE", str(tmp_path / "ring"))
    settings.KEY_RING = mine
    assert secret_opens(web, plain)


def test_what_cannot_be_a_secret(web: Trigger) -> None:
    for bad in ("  ", "x" * 501, "a\x00b"):
        with pytest.raises(InputError):
            trigger_secret_rotate(trigger=web, actor=OPERATOR, secret=bad)
    with pytest.raises(InputError):
        secret_digest("")
    web.refresh_from_db()
    assert web.secret_digest == ""


def test_only_who_configures_rotates(web: Trigger, teammate: User) -> None:
    actor = Actor(user=teammate, door=Door.ADMIN)
    grant(teammate, web, Level.ACT)
    for act in (trigger_secret_rotate, trigger_secret_forget):
        with pytest.raises(Refused):
            act(trigger=web, actor=actor)
    grant(teammate, web, Level.CONFIGURE)
    assert secret_opens(web, trigger_secret_rotate(trigger=web, actor=actor))


def test_the_server_wide_one(settings: Any, owner: User, teammate: User) -> None:
    assert not server_secret_is_set()
    assert not server_secret_opens("")
    admin = Actor(user=owner, door=Door.ADMIN)
    server_secret_set(actor=admin, secret="one")
    assert [server_secret_opens(given) for given in ("one", "two", "")] == [True, False, False]
    assert "one" not in OldProtocol.objects.get().secret_digest
    for actor in (Actor(user=teammate, door=Door.ADMIN), Actor(user=None, door=Door.API, by_secret=True)):
        with pytest.raises(Refused):
            server_secret_set(actor=actor, secret="mine")
    settings.PROSTAGMA_SECRET = "of the environment"
    assert [server_secret_opens(given) for given in ("one", "of the environment")] == [False, True]
    with pytest.raises(InputError):
        server_secret_set(actor=admin, secret="three")
    settings.PROSTAGMA_SECRET = ""
    server_secret_set(actor=admin, secret="")
    assert not server_secret_is_set()
    assert not server_secret_opens("one")
    assert OldProtocol.objects.count() == 1
