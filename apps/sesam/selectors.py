"""Reads of nodes: who sees which, where their configuration comes from, and what was done to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.access.errors import NotFound
from apps.access.levels import Level
from apps.access.permissions import subjects_visible
from apps.sesam.models import ExtraNode, Node

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet

    from apps.repos.models import Repository
    from apps.sesam.models import Snapshot, Sync

WITH = ("repository__ssh_key", "hours", "sync_as", "secret_store")  # what syncs and checks need of a node's row


def nodes_visible(user: User | AnonymousUser | None, least: Level = Level.VIEW) -> QuerySet[Node]:
    """Those on which `user` (None: the operator) holds that level."""
    found = Node.objects.select_related("repository")
    return found if user is None else found.filter(pk__in=subjects_visible(user, "node", least).values("pk"))


def node_named(name: str, user: User | AnonymousUser | None = None) -> Node:
    """The node of that name that `user` may see; raises NotFound with those there are."""
    visible = nodes_visible(user)
    found = visible.filter(name=name).first()
    if found is None:
        names = ", ".join(visible.values_list("name", flat=True)[:10]) or "none"
        raise NotFound(f"There is no node “{name}”; there are: {names}.")
    return found


def fed_by(node: Node) -> ExtraNode | None:
    """The extra node that this node is, where a master feeds it directly."""
    if node.repository_id is not None:
        return None
    return ExtraNode.objects.select_related("master__repository__ssh_key").filter(node=node.pk).first()


def master_of(node: Node) -> Node:
    """Whose repository, branch and layout count: the node's own, or those of the master that feeds it."""
    extra = fed_by(node)
    return node if extra is None else extra.master


def repository_of(node: Node) -> Repository | None:
    """Where the node's configuration comes from; None for one that neither follows nor is fed."""
    return master_of(node).repository


def branch_of(node: Node) -> str:
    """The branch or tag that the node follows."""
    return master_of(node).branch


def extras_of(node: Node) -> QuerySet[ExtraNode]:
    """What the node feeds as a master, ready to publish to."""
    return node.extras.select_related("repository__ssh_key", "node__hours").order_by("name")


def syncs_recent(node: Node, *, limit: int = 20, action: str = "") -> QuerySet[Sync]:
    """The newest runs on the node, of one kind if given."""
    rows = node.syncs.select_related("run", "restored")
    return (rows.filter(action=action) if action else rows).order_by("-id")[:limit]


def snapshots_of(node: Node) -> QuerySet[Snapshot]:
    """What can be put back, newest first."""
    return node.snapshots.select_related("sync").defer("content").order_by("-id")
