"""What a sync left on a node that it could neither end nor undo: who owes what, and paying it."""

from __future__ import annotations

import logging
import secrets
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import DatabaseError, transaction
from django.utils import timezone

from apps.access.errors import PanelError
from apps.runs.beats import lease_give_back, lease_take
from apps.runs.models import Lease
from apps.runs.recorder import note_append
from apps.runs.services import run_active_on
from apps.runs.states import ENDED
from apps.sesam.journal import journal_mark, journal_open
from apps.sesam.models import Node, Sync
from apps.sesam.rules import Rules
from apps.sesam.services import doors
from apps.sesam.services.state import node_state_set
from apps.sesam.services.undo import left_settled
from apps.sesam.services.writes import ATTEMPTS
from apps.sesam.soundness import same_place
from apps.sesam.states import NodeState
from apps.sesam.storage import configuration_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apps.sesam.client import NodeClient

logger = logging.getLogger(__name__)
LEASE = 120.0  # seconds; paying has less patience than that
LATE = timedelta(seconds=60)  # after a write whose answer was lost: it has been carried out by then, or never will
LOOKED_BACK = 50  # syncs of a node, for one that left something before another did


def node_owes(*, sync: Sync, detail: str) -> None:
    """Keep that `sync` left something on its node which is to be put back."""
    node = sync.node
    if node is None or not journal_open(sync):
        return
    Node.objects.filter(pk=node.pk).update(owed=sync, check_after=None, compared="")
    node_state_set(node=node, state=NodeState.HALF, detail=detail)


def owed_pay(*, node: Node) -> bool:
    """Put back, or confirm, what a broken run left on the node; whether nothing is owed any more.

    False while a run of the node is at work (it pays first itself), while another pays, while the node refuses, and
    while it is off.
    """
    if not Node.objects.filter(pk=node.pk, owed__isnull=False).exists():
        return True
    if not Node.objects.filter(pk=node.pk, enabled=True).exists():
        return False
    with _alone(node) as alone:
        if not alone:
            return False
        fresh = Node.objects.select_related("owed__before", "owed__wanted", "owed__run").get(pk=node.pk)
        try:
            with doors.node_opened(fresh, patience=doors.PAYING) as client:
                return debt_paid(fresh, client, _teller(fresh.owed), attempts=1)
        except PanelError as error:
            logger.warning("%s: what is owed to it could not be put back: %s", fresh.name, error)
            return False
        except DatabaseError:
            raise
        except Exception:  # whatever a node answers, it must not hold up the others' checks
            logger.exception("%s: what is owed to it could not be put back.", fresh.name)
            return False


def debt_paid(node: Node, client: NodeClient, note: Callable[[str], None], attempts: int = ATTEMPTS) -> bool:
    """The same for a caller who holds the node: its run, or whoever took the lease. `note` tells each step.

    Where several runs left something, the last one's is put back first. Nothing is written to another address than
    the one that it was left at.
    """
    while (sync := node.owed) is not None:
        sync.node = node
        held = _elsewhere(sync, node) or left_settled(client=client, sync=sync, note=note, attempts=attempts)
        if held:
            node_state_set(node=node, state=NodeState.HALF, detail=held)
            return False
        _let_go(node, sync)
        node_state_set(node=node, state=NodeState.UNKNOWN, detail=f"What run #{sync.run_number} left was put right.")
    return True


def debts_settled(*, node: Node, by: Sync) -> None:
    """`by` has just given the node all of its configuration: what runs left of that before is of no account any more.

    What `by` did not look at, such as another configuration group, or variables, stays owed.
    """
    while (sync := node.owed) is not None:
        is_here = not _elsewhere(sync, node)
        if is_here and not _covers(by, sync):
            return
        if is_here:
            journal_mark(sync, "done")
        _let_go(node, sync)


def _elsewhere(sync: Sync, node: Node) -> str:
    """What stands in the way of paying: the node behind the address is not the one that has it, or may not be."""
    if not sync.node_url or same_place(sync.node_url, node.url):
        return ""
    return (
        f"Run #{sync.run_number} left something half done at {sync.node_url}, and the node's URL is another now. "
        "Set it back to have that put right; a sync makes the node at the new URL whole."
    )


def _covers(by: Sync, sync: Sync) -> bool:
    if Rules.from_json(by.rules).config_group != Rules.from_json(sync.rules).config_group:
        return False
    variables = any(entry["what"] == "variables" for entry in journal_open(sync))
    return not variables or (by.before is not None and configuration_of(by.before).variables is not None)


def _let_go(node: Node, sync: Sync) -> None:
    """That sync owes nothing any more; an older one of the node may still do so."""
    older = None
    rows = Sync.objects.filter(node=node.pk, pk__lt=sync.pk, node_url=sync.node_url).exclude(journal=[])
    for row in rows.order_by("-pk")[:LOOKED_BACK]:
        if journal_open(row):
            older = row
            break
    # What was sent last may still be carried out late, also on a node that nobody looks at by itself.
    again = None if node.interval is not None else timezone.now() + LATE
    Node.objects.filter(pk=node.pk, owed=sync).update(owed=older, check_after=again, compared="")
    node.owed = older


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
