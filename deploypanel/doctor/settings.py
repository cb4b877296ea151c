"""What an operator has set, where it is dangerous."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.core import checks

from deploypanel.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def debug() -> Iterator[Finding]:
    if settings.DEBUG:
        text = "is on: errors show settings and code to whoever causes them"
        yield Finding(about="DEPLOYPANEL_DEBUG", text=text, remedy="unset DEPLOYPANEL_DEBUG")


def addresses() -> Iterator[Finding]:
    if "*" in settings.ALLOWED_HOSTS:
        remedy = "name the panel's host names, separated by commas"
        yield Finding(about="DEPLOYPANEL_ALLOWED_HOSTS", text="allows every host name", remedy=remedy)
    if settings.BIND in LOOPBACK:
        return
    if not settings.HTTPS:
        text = "is reached from other machines without encryption: passwords and sessions can be read on the way"
        remedy = "put a proxy with TLS in front and set DEPLOYPANEL_URL=https://… (docs/operations.md)"
        yield Finding(about=f"the panel on {settings.BIND}", text=text, remedy=remedy)
    if not set(settings.ALLOWED_HOSTS) - {"localhost", "127.0.0.1", "[::1]"}:
        text = "names no host name but this machine's own, so that browsers elsewhere get “Bad request”"
        remedy = "DEPLOYPANEL_ALLOWED_HOSTS=panel.example.com"
        yield Finding(about="DEPLOYPANEL_ALLOWED_HOSTS", text=text, remedy=remedy)


def system_checks() -> Iterator[Finding]:
    """What Django and the panel's own apps find."""
    for message in checks.run_checks():
        if not message.is_silenced():
            yield Finding(about=message.id or "check", text=message.msg, remedy=message.hint or "see the message")
