"""What is let go of a node's history: the rows stay, what they compared goes with their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Max, Q

from apps.runs.states import ENDED
from apps.sesam.journal import journal_open
from apps.sesam.models import Node, Sync

if TYPE_CHECKING:
    from django.db.models import QuerySet

BATCH = 500


def syncs_lighten() -> int:
    """Let go of both sides of the syncs whose runs were pruned; how many.

    Kept are the newest of each node, which says what the node last had, and all that something is still owed for.
    """
    count = 0
    while ids := [row.pk for row in _heavy()[:BATCH] if not journal_open(row)]:
        count += Sync.objects.filter(pk__in=ids, run=None).update(before=None, wanted=None)
    return count


def _heavy() -> QuerySet[Sync]:
    newest = Sync.objects.filter(before__isnull=False, node__isnull=False).values("node").annotate(newest=Max("pk"))
    owed = Node.objects.filter(owed__isnull=False).values("owed")
    sides = Q(before__isnull=False) | Q(wanted__isnull=False)
    return (
        Sync.objects.filter(sides, run=None, state__in=[str(state) for state in ENDED])
        .exclude(pk__in=newest.values("newest"))
        .exclude(pk__in=owed)
        .only("pk", "journal")
        .order_by("pk")
    )
