"""Sesam nodes that cannot be followed, are half changed, or are not safe to talk to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.access.levels import Level
from apps.access.permissions import level_of
from apps.runs.wording import moment
from apps.sesam.models import ApplyMode, Node
from apps.sesam.states import NodeState
from deploypanel.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator


def nodes() -> Iterator[Finding]:
    for node in Node.objects.filter(enabled=True).select_related("owed", "sync_as"):
        about = f"node {node.name}"
        yield from _state(node, about)
        if not node.verify_tls and node.url.startswith("https://"):
            text = "is not asked for its certificate: anyone between the panel and it can read and change it all"
            yield Finding(about=about, text=text, remedy="give it its CA bundle, and verify TLS")
        if node.is_in_clear:
            text = "is spoken to without TLS: anyone between the panel and it can read its token, and change it all"
            yield Finding(about=about, text=text, remedy="give it an address that begins with https://")
        yield from _automatic(node, about)


def _state(node: Node, about: str) -> Iterator[Finding]:
    if node.owed is not None:
        left = f"run #{node.owed.run_number}" if node.owed.run_number else "a run"
        text = f"is half changed since {left}: {node.state_detail or 'what it left could not be put back yet'}"
        yield Finding(about=about, text=text, remedy=f"see what it holds: manage.py sesam status {node.name}")
    elif node.state == NodeState.UNREACHABLE:
        text = f"has not answered since {moment(node.state_since)}: {node.state_detail}"
        yield Finding(about=about, text=text, remedy="mend the node or the way to it, or correct its URL and token")


def _automatic(node: Node, about: str) -> Iterator[Finding]:
    if node.apply_mode in {ApplyMode.SCHEDULE, ApplyMode.HEAL} and node.interval is None:
        yield Finding(
            about=about,
            text="applies on schedule, but has no interval: it is never looked at",
            remedy="give it an interval in seconds",
        )
    who = node.sync_as
    if node.apply_mode == ApplyMode.MANUAL or who is None or who.is_superuser:
        return
    if level_of(who, node) < Level.IN_HOURS:
        text = f"applies by itself as {who.get_username()}, who may not sync it"
        yield Finding(about=about, text=text, remedy=f"grant {who.get_username()} “sync” on {node.name}")
