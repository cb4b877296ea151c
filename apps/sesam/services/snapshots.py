"""What nodes had before: kept when a sync is about to write, and let go by number and age."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from apps.sesam.models import Node, Snapshot
from apps.sesam.storage import configurations_prune

if TYPE_CHECKING:
    from apps.sesam.configuration import Configuration
    from apps.sesam.models import StoredConfiguration, Sync


def snapshot_take(
    *, node: Node, sync: Sync | None, content: StoredConfiguration, configuration: Configuration
) -> Snapshot:
    """Keep what the node has now. `content` is `configuration`, stored.

    Where the newest snapshot holds the very same, that one is taken anew: syncs that fail again and again must not
    push out what the node had before them.
    """
    newest = node.snapshots.order_by("-id").first()
    if newest is not None and newest.content_id == content.pk:
        newest.sync, newest.commit, newest.taken_at = sync, node.applied_commit, timezone.now()
        newest.save(update_fields=["sync", "commit", "taken_at"])
        return newest
    variables = configuration.variables
    return Snapshot.objects.create(
        node=node,
        sync=sync,
        content=content,
        commit=node.applied_commit,
        entities=len(configuration.entities),
        variables=None if variables is None else len(variables),
    )


def snapshots_prune(*, now: datetime | None = None) -> int:
    """Let go of snapshots beyond the number and age of their nodes, never of the newest; how many rows went.

    Configurations that nothing refers to any more go too.
    """
    now = now or timezone.now()
    count = sum(_node_prune(node, now) for node in Node.objects.only("pk", "keep_snapshots", "snapshot_days"))
    return count + configurations_prune()


def _node_prune(node: Node, now: datetime) -> int:
    ids = list(node.snapshots.order_by("-id").values_list("pk", "taken_at"))
    oldest = now - timedelta(days=node.snapshot_days)
    gone = [pk for place, (pk, at) in enumerate(ids) if place and (place >= node.keep_snapshots or at < oldest)]
    # What is owed is paid from the sync's own copy, so no snapshot is held for it.
    return Snapshot.objects.filter(pk__in=gone).delete()[0] if gone else 0
