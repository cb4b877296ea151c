"""What a sync left on a node that it could neither end nor undo: who owes what, and paying it."""

from __future__ import annotations

import logging
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from apps.access.errors import PanelError
from apps.runs.beats import lease_give_back, lease_take
from apps.runs.models import Lease
from apps.runs.recorder import note_append
from apps.runs.services import run_active_on
from apps.runs.states import ENDED
from apps.sesam.journal import journal_open
from apps.sesam.models import Node, Sync
from apps.sesam.services import doors
from apps.sesam.services.state import node_state_set
from apps.sesam.services.undo import left_settled
from apps.sesam.states import NodeState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apps.sesam.client import NodeClient

logger = logging.getLogger(__name__)
LEASE = 120.0  # seconds; paying has less patience than that


def node_owes(*, sync: Sync, detail: str) -> None:
    """Keep that `sync` left something on its node which is to be put back."""
    node = sync.node
    if node is None or not journal_open(sync):
        return
    Node.objects.filter(pk=node.pk).update(owed=sync, check_after=None, compared="")
    node_state_set(node=node, state=NodeState.HALF, detail=detail)


def owed_pay(*, node: Node) -> bool:
    """Put back, or confirm, what a broken run left on the node; whether nothing is owed any more.

    False while a run of the node is at work (it pays first itself), while another pays, or while the node refuses.
    """
    if not Node.objects.filter(pk=node.pk, owed__isnull=False).exists():
        return True
    with _alone(node) as alone:
        if not alone:
            return False
        fresh = Node.objects.select_related("owed__before", "owed__wanted", "owed__run").get(pk=node.pk)
        try:
            with doors.node_opened(fresh, patience=doors.PAYING) as client:
                return debt_paid(fresh, client, _teller(fresh.owed))
        except PanelError as error:
            logger.warning("%s: what is owed to it could not be put back: %s", fresh.name, error)
            return False


def debt_paid(node: Node, client: NodeClient, note: Callable[[str], None]) -> bool:
    """The same for a caller who holds the node: its run, or whoever took the lease. `note` tells each step."""
    sync = node.owed
    if sync is None:
        return True
    sync.node = node
    held = left_settled(client=client, sync=sync, note=note)
    if held:
        node_state_set(node=node, state=NodeState.HALF, detail=held)
        return False
    Node.objects.filter(pk=node.pk, owed=sync).update(owed=None, check_after=None, compared="")
    node.owed = None
    node_state_set(node=node, state=NodeState.UNKNOWN, detail=f"What run #{sync.run_number} left was put right.")
    return True


def payer_at_work(node: Node) -> bool:
    """Whether somebody puts something right on this node just now. Once none does, none begins during an active run."""
    return Lease.objects.filter(name=_lease(node), expires_at__gt=timezone.now()).exists()


@contextmanager
def _alone(node: Node) -> Iterator[bool]:
    """Whether nobody else writes to the node meanwhile: a run that comes now waits for the lease."""
    holder = f"pay-{secrets.token_hex(8)}"
    taken = lease_take(name=_lease(node), holder=holder, seconds=LEASE)
    try:
        yield taken and run_active_on(node.pk) is None
    finally:
        if taken:
            lease_give_back(name=_lease(node), holder=holder)


def _lease(node: Node) -> str:
    return f"node-{node.pk}-owed"


def _teller(sync: Sync | None) -> Callable[[str], None]:
    """Into the log of the run that left it, as long as it is there."""

    def note(text: str) -> None:
        run = sync.run if sync is not None else None
        logger.info("%s: %s", sync.node_name if sync else "", text)
        if run is not None and run.state in ENDED:
            with transaction.atomic():
                note_append(run, text)

    return note
