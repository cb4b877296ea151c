"""Personal API tokens: made and withdrawn by their person, shown once, good until they end."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from apps.access import audit
from apps.access.decision import Decision, RuleResult
from apps.access.errors import Conflict, InputError, Refused
from apps.access.models import ApiToken
from apps.access.permissions import is_person

if TYPE_CHECKING:
    from apps.access.actor import Actor

PREFIX = "dp_"
DAYS_MOST = 366
TOKENS_MOST = 50  # of one person
USED_EVERY = timedelta(minutes=1)  # how exactly the last use is kept


def api_token_create(*, actor: Actor, name: str, days: int | None) -> tuple[ApiToken, str]:
    """A token of the actor's own, and its text, which is shown this once. `days` None: it never ends by itself.

    Raises Refused for one who is no person, InputError, and Conflict when there are too many.
    """
    user = actor.user
    if user is None or not is_person(user):
        raise _refused("Only a person who is signed in can make an API token.")
    name = name.strip()
    if not name or len(name) > 80 or "\x00" in name:
        raise InputError("Say in 1 to 80 characters what the token is for.", "name")
    if days is not None and not 1 <= days <= DAYS_MOST:
        raise InputError(f"A token lasts 1 to {DAYS_MOST} days, or until it is withdrawn.", "days")
    if ApiToken.objects.filter(user=user).count() >= TOKENS_MOST:
        raise Conflict(f"You have {TOKENS_MOST} API tokens; withdraw one first.")
    plain = PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user=user,
        name=name,
        digest=_digest(plain),
        hint=plain[:8],
        expires_at=timezone.now() + timedelta(days=days) if days else None,
    )
    audit.record(actor=actor, action="api_token.add", detail=_detail(token))
    return token, plain


def api_token_revoke(*, actor: Actor, token: ApiToken) -> None:
    """Withdraw it, for its person and for administrators; it is good for nothing from now on. Raises Refused."""
    user = actor.user
    allowed = actor.is_trusted or bool(user and is_person(user) and (user.is_superuser or user.pk == token.user_id))
    reason = "" if allowed else "Only its person, or an administrator, may withdraw an API token."
    audit.record(
        actor=actor,
        action="api_token.revoke",
        allowed=allowed,
        reasons=[reason] if reason else [],
        detail=_detail(token),
    )
    if not allowed:
        raise _refused(reason)
    ApiToken.objects.filter(pk=token.pk).delete()


def api_token_open(plain: str, address: str = "") -> ApiToken | None:
    """The token of that text, with its person; None where it is unknown, has ended, or its person is switched off."""
    if not plain.startswith(PREFIX):
        return None
    now = timezone.now()
    token = ApiToken.objects.select_related("user").filter(digest=_digest(plain)).first()
    if token is None or not token.user.is_active or (token.expires_at and token.expires_at <= now):
        return None
    if token.last_used_at is None or token.last_used_at < now - USED_EVERY or token.last_address != address[:64]:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now, last_address=address[:64])
    return token


def _digest(plain: str) -> str:
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _detail(token: ApiToken) -> dict[str, str | None]:
    until = token.expires_at.isoformat() if token.expires_at else None
    return {"object": token.name, "hint": token.hint, "of": token.user.get_username(), "until": until}


def _refused(reason: str) -> Refused:
    rule = RuleResult(name="permission", allowed=False, reason=reason)
    return Refused(Decision(at=timezone.now(), rules=(rule,)))
