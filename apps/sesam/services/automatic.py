"""Automatic syncs: a push, or what a check found, becomes a run; ten pushes become one more.

What arrives while a run works is remembered as the node's wanted commit. When the run ends and has not
attempted that very commit, one more run starts, with the newest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.access.actor import Actor, Door
from apps.runs.models import Cause, Run
from apps.runs.services import run_coalesced
from apps.sesam.models import ApplyMode, Node, Sync, SyncAction
from apps.sesam.selectors import branch_of, fed_by
from apps.sesam.services.look import verify_request
from apps.sesam.services.rules import BY_ITSELF
from apps.sesam.services.sync import sync_request

if TYPE_CHECKING:
    from apps.repos.models import Repository


@dataclass(frozen=True, kw_only=True)
class SyncOutcome:
    """What one push, or one look, led to on one node. `run` is None when nothing started."""

    node: Node
    run: Run | None
    text: str


def sync_push(
    *, repository: Repository, branch: str, commit: str, actor_address: str = "", pusher: str = ""
) -> list[SyncOutcome]:
    """Start, or remember, a sync on each node that follows this branch by itself. Database only.

    Nodes that a master feeds follow the master's run and not the push.
    """
    nodes = Node.objects.filter(repository=repository, branch=branch, enabled=True).exclude(apply_mode=ApplyMode.MANUAL)
    rows = nodes.select_related("repository", "sync_as", "hours").order_by("name")
    why = pusher or "a push"
    return [sync_automatic(node=node, commit=commit, why=why, cause=Cause.PUSH, address=actor_address) for node in rows]


def sync_automatic(
    *, node: Node, commit: str, why: str, cause: Cause = Cause.SCHEDULE, address: str = ""
) -> SyncOutcome:
    """A run that brings `commit`, or the memory that it is wanted. `why` is kept as who or what is behind it."""
    if node.auto_paused_at is not None:
        return _nothing(node, f"automatic applying is paused: {node.auto_paused_reason}")
    return _coalesced(node, commit, branch_of(node), automatic_actor(node, cause, why, address), cause)


def sync_fed(*, node: Node, commit: str, ref: str, actor: Actor, cause: Cause) -> SyncOutcome:
    """The same for a node that its master feeds, in the name of the one who asked for the master's run."""
    if node.auto_paused_at is not None and cause in BY_ITSELF:
        return _nothing(node, f"automatic applying is paused: {node.auto_paused_reason}")
    return _coalesced(node, commit, ref, actor, cause)


def sync_wanted(*, node: Node, attempted: str) -> Sync | None:
    """After a run: apply the newest commit that was asked for, unless it is the one just attempted."""
    fresh = Node.objects.select_related("repository", "sync_as", "hours").filter(pk=node.pk).first()
    if fresh is None or not fresh.wanted_commit:
        return None
    wanted = fresh.wanted_commit
    follows = fresh.applies_by_itself or (fresh.auto_paused_at is None and fed_by(fresh) is not None)
    if wanted == attempted or not follows or not fresh.enabled:
        Node.objects.filter(pk=fresh.pk, wanted_commit=wanted).update(wanted_commit="")
        return None
    outcome = sync_automatic(node=fresh, commit=wanted, why="the commit that was asked for meanwhile", cause=Cause.PUSH)
    return Sync.objects.filter(run=outcome.run).first() if outcome.run is not None else None


def automatic_actor(node: Node, cause: Cause, why: str, address: str = "") -> Actor:
    """Who acts when a node applies by itself: the one named on it, else the panel, bound by the node's hours alone."""
    if node.sync_as is None:
        return Actor(user=None, door=Door.SCHEDULE, address=address, behind=why)
    door = Door.WEBHOOK if cause == Cause.PUSH else Door.SCHEDULE
    return Actor(user=node.sync_as, door=door, address=address, behind=why)


def _coalesced(node: Node, commit: str, ref: str, actor: Actor, cause: Cause) -> SyncOutcome:
    """A run for `commit`, or the memory that it is wanted."""
    found = run_coalesced(
        subject=node,
        commit=commit,
        asker=Actor(user=node.sync_as, door=Door.SCHEDULE),
        waiting=Sync.objects.filter(node=node, action=SyncAction.SYNC, run__cause__in=BY_ITSELF),
        request=lambda: _requested(node, commit, ref, actor, cause),
    )
    return SyncOutcome(node=node, run=found.run, text=found.text)


def _requested(node: Node, commit: str, ref: str, actor: Actor, cause: Cause) -> Run:
    if node.is_ci:
        sync = verify_request(node=node, actor=actor, cause=cause, ref=ref, commit=commit)
    else:
        sync = sync_request(node=node, actor=actor, cause=cause, ref=ref, commit=commit, when_open=True)
    assert sync.run is not None
    return sync.run


def _nothing(node: Node, text: str) -> SyncOutcome:
    return SyncOutcome(node=node, run=None, text=text)
