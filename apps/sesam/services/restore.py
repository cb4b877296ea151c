"""Going back: what the node had before one of its syncs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from apps.access import gate
from apps.access.errors import InputError
from apps.runs.knock import knock
from apps.runs.services import paused_now, run_request, subject_held
from apps.sesam.models import Node, SyncAction
from apps.sesam.services.rules import confirmed_checked, node_rule
from apps.sesam.services.sync import sync_create

if TYPE_CHECKING:
    from apps.access.actor import Actor
    from apps.runs.models import Cause
    from apps.sesam.models import Snapshot, Sync


def restore_request(
    *,
    node: Node,
    actor: Actor,
    cause: Cause,
    snapshot: Snapshot,
    override: str = "",
    confirmed: dict[str, int] | None = None,
) -> Sync:
    """Put back what `snapshot` holds, and pause automatic applying, which would undo it at once.

    Raises Refused, Conflict, InputError.
    """
    if snapshot.node_id != node.pk:
        raise InputError(f"That snapshot is of another node than {node.name}.", "snapshot")
    confirmed = confirmed_checked(confirmed)
    detail = {"snapshot": snapshot.pk, "taken_at": snapshot.taken_at.isoformat()}
    gate.require(
        actor=actor,
        act=gate.Act.ACT,
        subject=node,
        action="restore",
        extra=[node_rule(node)],
        override=override,
        detail=detail,
    )
    with transaction.atomic():
        subject_held(Node, node.pk)  # first, as a push does: or each might wait for the other
        run = run_request(
            kind=SyncAction.RESTORE,
            subject=node,
            actor=actor,
            cause=cause,
            params=knock(actor),
            override=override,
            time_limit=node.time_limit,
        )
        reason = f"Restored to what it had at {snapshot.taken_at:%Y-%m-%d %H:%M} UTC by {actor.name} (run #{run.pk})."
        Node.objects.filter(pk=node.pk).update(wanted_commit="", **paused_now(reason))
        return sync_create(
            run,
            node,
            SyncAction.RESTORE,
            ref=snapshot.commit,
            commit=snapshot.commit,
            confirmed=confirmed,
            restored=snapshot,
        )
