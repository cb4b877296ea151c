"""Signing in and out, and failing to, in the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver

from apps.access import audit
from apps.access.actor import Actor, Door
from apps.access.address import address_of

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpRequest


@receiver(user_logged_in, dispatch_uid="access.login")
def record_login(request: HttpRequest | None, user: User, **_kwargs: Any) -> None:
    audit.record(actor=_actor(user, request), action="login")


@receiver(user_logged_out, dispatch_uid="access.logout")
def record_logout(request: HttpRequest | None, user: User | None, **_kwargs: Any) -> None:
    if user is not None:  # a session that was over already has nobody to sign out
        audit.record(actor=_actor(user, request), action="logout")


@receiver(user_login_failed, dispatch_uid="access.login_failed")
def record_failure(credentials: dict[str, Any], request: HttpRequest | None = None, **_kwargs: Any) -> None:
    # The name that was tried is told, not believed: it is no user of ours until the password fits.
    tried = str(credentials.get("username", ""))
    audit.record(actor=_actor(None, request), action="login", allowed=False, detail={"tried": tried[:150]})


def _actor(user: User | None, request: HttpRequest | None) -> Actor:
    return Actor(user=user, door=Door.ADMIN, address=address_of(request) if request else "")
