"""What both ways of connecting have in common: who knocks, and what his messages lead to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from django.conf import settings

from apps.agents import protocol
from apps.agents.clerk import Clerk
from apps.agents.errors import BadMessage
from apps.agents.hub import hub
from apps.agents.keys import key_digest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from apps.agents.line import Line

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[Mapping[str, Any]]]
    Send = Callable[[Mapping[str, Any]], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

clerk = Clerk(hub)


def bearer(scope: Scope) -> str:
    """The digest of the key that came with the request; empty when none came."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, key = value.decode("latin-1").partition(" ")
            if kind.lower() == "bearer" and key.strip():
                return key_digest(key.strip())
    return ""


def address_of(scope: Scope) -> str:
    """Where it came from: behind our own proxy, the last address that it added."""
    if getattr(settings, "USE_X_FORWARDED_HOST", False):
        for name, value in reversed(scope["headers"]):
            if name == b"x-forwarded-for":
                return str(value.decode("latin-1").rpartition(",")[2].strip())
    client = scope.get("client")
    return str(client[0]) if client else ""


async def heed(line: Line, message: protocol.Hello | protocol.Events | protocol.Beat) -> list[str]:
    """Do what a message asks; what to answer. Raises BadMessage, DatabaseError."""
    line.hear()
    if isinstance(message, protocol.Events):
        return (await clerk.store(line, message)).messages
    if isinstance(message, protocol.Beat):
        clerk.beat(line, message)
        return [protocol.BEAT]
    raise BadMessage("a line begins with one hello")


async def doors_close() -> None:
    """The web process ends: write down that its agents are gone."""
    hub.stop(timeout=0)
    await asyncio.to_thread(clerk.stop)
