"""Asking what would happen, without doing it: plans and verifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from apps.access import gate
from apps.access.errors import Conflict, InputError
from apps.repos.refs import commit_checked, ref_checked
from apps.runs.knock import knock
from apps.runs.models import Run
from apps.runs.services import run_request, subject_held
from apps.runs.states import ENDED
from apps.sesam.models import Node, SyncAction
from apps.sesam.selectors import branch_of, repository_of
from apps.sesam.services.sync import sync_create

if TYPE_CHECKING:
    from apps.access.actor import Actor
    from apps.runs.models import Cause
    from apps.sesam.models import Sync


def plan_request(*, node: Node, actor: Actor, cause: Cause, ref: str = "") -> Sync:
    """See what a sync of `ref` would change. At any hour, for those who may sync in hours; nothing is written.

    One at a time for each person and node. Raises Refused, InputError, Conflict.
    """
    ref = ref_checked(ref or branch_of(node))
    gate.require(actor=actor, act=gate.Act.STOP, subject=node, action="plan", detail={"ref": ref})
    _readable(node)
    with transaction.atomic():
        subject_held(Node, node.pk)  # of two requests at once the second sees the first
        _only_one(node, actor, SyncAction.PLAN)
        return _looked(node, actor, cause, SyncAction.PLAN, ref)


def verify_request(*, node: Node, actor: Actor, cause: Cause, ref: str = "", commit: str = "") -> Sync:
    """Check what Git holds, without asking the node. Raises Refused, InputError, Conflict."""
    ref, commit = ref_checked(ref or commit or branch_of(node)), commit_checked(commit)
    gate.require(actor=actor, act=gate.Act.STOP, subject=node, action="verify", detail={"ref": commit or ref})
    _readable(node, asks_node=False)
    with transaction.atomic():
        subject_held(Node, node.pk)
        if not node.is_ci:
            _only_one(node, actor, SyncAction.VERIFY)
        return _looked(node, actor, cause, SyncAction.VERIFY, ref, commit)


def _looked(node: Node, actor: Actor, cause: Cause, action: SyncAction, ref: str, commit: str = "") -> Sync:
    # A ci node's verification is its only work: pushes coalesce behind it as they do behind a sync.
    exclusive = action == SyncAction.VERIFY and node.is_ci
    limit = node.time_limit
    run = run_request(
        kind=action, subject=node, actor=actor, cause=cause, params=knock(actor), exclusive=exclusive, time_limit=limit
    )
    return sync_create(run, node, action, ref=ref, commit=commit)


def _readable(node: Node, *, asks_node: bool = True) -> None:
    if repository_of(node) is None:
        raise InputError(f"{node.name} follows no repository, and no master feeds it: choose one on the node.")
    if asks_node and node.is_ci:
        raise InputError(f"{node.name} verifies a repository; there is no node behind it to compare with.")
    if asks_node and not node.enabled:
        raise InputError(f"{node.name} is off: switch it on first.")


def _only_one(node: Node, actor: Actor, action: SyncAction) -> None:
    mine = Run.objects.filter(subject_id=node.pk, kind=action, requested_by=actor.user)
    mine = mine.filter(requested_name=actor.name[:150]).exclude(state__in=ENDED)
    if (other := mine.first()) is not None:
        state = other.get_state_display().lower()
        raise Conflict(f"Run #{other.pk} (your {action} of {node.name}) is {state}: wait for its end, or stop it.")
