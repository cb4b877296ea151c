"""What opens a trigger: its own secrets, two of which live at a time, and the server-wide one of old clients."""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.access import audit, gate
from apps.access.decision import Decision, RuleResult
from apps.access.digests import Match, digest_matches, keyed_digest
from apps.access.errors import InputError, Refused
from apps.triggers.burst import once
from apps.triggers.models import OldProtocol, Trigger

if TYPE_CHECKING:
    from apps.access.actor import Actor

PURPOSE = "trigger"
LENGTH_MOST = 500  # characters


def secret_digest(plain: str) -> str:
    """What is kept of a secret. Raises InputError for one that cannot be."""
    if not plain.strip():
        raise InputError("A secret must not be empty.", "secret")
    if len(plain) > LENGTH_MOST or "\x00" in plain:
        raise InputError(f"A secret has at most {LENGTH_MOST} characters, and no NUL.", "secret")
    return keyed_digest(plain, PURPOSE)


def secret_opens(trigger: Trigger, given: str) -> bool:
    """Whether it is the trigger's present or former secret. One kept under an older key is kept anew."""
    kept = (trigger.secret_digest, trigger.secret_digest_old)
    found = digest_matches(kept, given, PURPOSE)
    for name, before, match in zip(("secret_digest", "secret_digest_old"), kept, found, strict=True):
        if match is Match.STALE:
            Trigger.objects.filter(pk=trigger.pk, **{name: before}).update(**{name: keyed_digest(given, PURPOSE)})
    return any(found)


def trigger_secret_rotate(*, trigger: Trigger, actor: Actor, secret: str = "") -> str:
    """Give the trigger a new secret, which is told this once; the one until now stays good until it is forgotten.

    `secret`: one of the person's own. Raises Refused, InputError.
    """
    plain = secret or secrets.token_urlsafe(32)
    digest = secret_digest(plain)
    gate.require(actor=actor, act=gate.Act.CONFIGURE, subject=trigger, action="trigger.secret")
    with transaction.atomic():
        row = Trigger.objects.select_for_update(of=("self",)).get(pk=trigger.pk)
        if not hmac.compare_digest(row.secret_digest, digest):
            row.secret_digest_old, row.secret_digest = row.secret_digest, digest
            row.save(update_fields=["secret_digest", "secret_digest_old"])
    trigger.secret_digest, trigger.secret_digest_old = row.secret_digest, row.secret_digest_old
    return plain


def trigger_secret_forget(*, trigger: Trigger, actor: Actor) -> None:
    """From now on only the present secret is good. Raises Refused."""
    gate.require(actor=actor, act=gate.Act.CONFIGURE, subject=trigger, action="trigger.secret.forget")
    Trigger.objects.filter(pk=trigger.pk).update(secret_digest_old="")
    trigger.secret_digest_old = ""


def old_protocol() -> OldProtocol:
    """What old clients may; its first form while nobody has set anything."""
    return once("old protocol", lambda: OldProtocol.objects.order_by("pk").first() or OldProtocol())


def server_secret_is_set() -> bool:
    """Whether old clients may call at all."""
    return bool(settings.PROSTAGMA_SECRET or old_protocol().secret_digest)


def server_secret_opens(given: str) -> bool:
    """Whether it is the server-wide secret. The environment's goes before the admin's; with neither, nothing is."""
    if settings.PROSTAGMA_SECRET:
        return hmac.compare_digest(_bytes(given), _bytes(settings.PROSTAGMA_SECRET))
    row = old_protocol()
    found = digest_matches((row.secret_digest,), given, PURPOSE)[0]
    if found is Match.STALE:
        fresh = keyed_digest(given, PURPOSE)
        OldProtocol.objects.filter(pk=row.pk, secret_digest=row.secret_digest).update(secret_digest=fresh)
    return bool(found)


def server_secret_set(*, actor: Actor, secret: str) -> None:
    """Set the server-wide secret, or switch old clients off with an empty one. For administrators.

    Raises Refused, and InputError while the environment holds one.
    """
    if settings.PROSTAGMA_SECRET:
        raise InputError("It is set by DEPLOYPANEL_PROSTAGMA_SECRET; change it there.", "secret")
    digest = secret_digest(secret) if secret else ""
    _administrators_only(actor, "prostagma.secret" if secret else "prostagma.off")
    with transaction.atomic():
        row = OldProtocol.objects.order_by("pk").first() or OldProtocol()
        row.secret_digest = digest
        row.save()


def _administrators_only(actor: Actor, action: str) -> None:
    user = actor.user
    allowed = user.is_active and user.is_superuser if user is not None else actor.is_trusted and not actor.by_secret
    reason = "Administrators may." if allowed else "Only an administrator may set the server-wide secret."
    audit.record(actor=actor, action=action, allowed=allowed, reasons=[] if allowed else [reason])
    if not allowed:
        rule = RuleResult(name="permission", allowed=False, reason=reason)
        raise Refused(Decision(at=timezone.now(), rules=(rule,)))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
