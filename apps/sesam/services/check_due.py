"""Which nodes are looked at next: claimed by the clock, handed to a worker in batches.

Nodes that answered last time and nodes that did not go in batches of their own, and only so many batches
are on the queue at a time: however many nodes are silent, the others are looked at when it is their turn.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.runs.models import Run
from apps.runs.queue import ring
from apps.runs.states import ACTIVE
from apps.sesam.models import LONGEST_INTERVAL, ApplyMode, Layout, Node, Stage
from apps.sesam.services.state import node_state_set
from apps.sesam.states import NodeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import QuerySet

    from apps.repos.models import Repository

VOID = timedelta(minutes=2)  # after which a claim is nobody's: its worker was killed
AHEAD = 5  # seconds that nodes of a repository wait for each other at most, so that it is asked once for all
BATCH = 100  # nodes of one task
LONGEST_PAUSE = 600  # seconds between two looks at a node that does not answer
PAID_EACH = 60  # seconds: at a node that is not looked at by itself, what is owed is tried again
TASK_LIMIT = 100  # seconds; a check ends by itself before (check.py), and no claim outlives it


class Due(NamedTuple):
    """As much of a node's row as it takes to say whether it is due."""

    pk: int
    check_after: datetime | None
    checked_at: datetime | None
    interval: int | None
    check_failures: int
    source: int | None  # the repository that it follows, its master's for one that is fed

    def is_due(self, now: datetime) -> bool:
        # Looked at in the future: the clock was set back, and the next look is not as far away as it seems.
        is_odd = self.checked_at is not None and self.checked_at > now + VOID
        return self.check_after is None or self.check_after <= now or is_odd

    def goes_along(self, now: datetime) -> bool:
        """Whether it may be looked at a little early, together with others of its repository."""
        early = min(AHEAD, (self.interval or 0) / 4)
        return self.check_after is None or self.check_after <= now + timedelta(seconds=early)


def checks_start_due(now: datetime) -> list[int]:
    """Claim the nodes that are due and have a worker look at them; their ids. Called by the clock.

    Of two clocks only one gets a node: the claim is a conditional UPDATE.
    """
    _mark_off()
    due = _due(now)
    if not due:
        return []
    quick = [one.pk for one in due if not one.check_failures]
    slow = [one.pk for one in due if one.check_failures]
    return [*_started(quick, now, slow=False), *_started(slow, now, slow=True)]


def checks_hasten(*, repository: Repository, branch: str) -> None:
    """A push: nodes that only watch this branch need not wait for their turn to know that they are behind."""
    watching = Node.objects.filter(repository=repository, branch=branch, interval__isnull=False)
    watching.filter(apply_mode=ApplyMode.MANUAL, check_failures=0).update(check_after=timezone.now())


def check_start(*, node: Node) -> None:
    """Have a worker look at this node now, in the caller's transaction if there is one; unless one is at it."""
    now = timezone.now()
    with transaction.atomic():
        if Node.objects.filter(unclaimed(now), pk=node.pk).update(check_claimed_at=now):
            ring("apps.sesam.tasks.check", node.pk, timeout=TASK_LIMIT)


def pause_of(node: Node, failures: int) -> float:
    """Seconds until the next look, by how often in a row the node or its repository did not answer."""
    interval = min(node.interval or PAID_EACH, LONGEST_INTERVAL)  # rows may be older than that bound
    return float(min(interval * 2 ** min(max(failures - 1, 0), 20), max(LONGEST_PAUSE, interval)))


def claims_release(*, ids: Iterable[int], claimed_at: datetime, again_at: datetime) -> None:
    """Give back what a worker did not get to. It is due again at `again_at`."""
    Node.objects.filter(pk__in=list(ids), check_claimed_at=claimed_at).update(
        check_claimed_at=None, check_after=again_at
    )


def unclaimed(now: datetime) -> Q:
    return Q(check_claimed_at=None) | Q(check_claimed_at__lt=now - VOID) | Q(check_claimed_at__gt=now + VOID)


def source_repository() -> Coalesce:
    """The repository that a node follows: its own, or that of the master which feeds it."""
    return Coalesce("repository_id", "fed_by__master__repository_id")


def nodes_checked() -> QuerySet[Node]:
    """Nodes that are looked at at all: on, and with a node behind them."""
    return Node.objects.filter(enabled=True).exclude(environment=Stage.CI, layout=Layout.MULTI)


def _due(now: datetime) -> list[Due]:
    """Who is due, and who goes along; who waited longest, first."""
    at_work = Run.objects.filter(subject=OuterRef("pk"), exclusive=True, state__in=ACTIVE)
    watched = Q(interval__isnull=False) | Q(owed__isnull=False)
    soon = Q(check_after__lte=now + timedelta(seconds=AHEAD)) | (Q(check_after=None) & watched)
    soon |= Q(checked_at__gt=now + VOID) & watched
    rows = (
        nodes_checked()
        .filter(soon, unclaimed(now), ~Exists(at_work))
        .annotate(source=source_repository())
        .order_by(F("check_after").asc(nulls_first=True), "pk")
        .values_list("pk", "check_after", "checked_at", "interval", "check_failures", "source")
    )
    found = [Due(*row) for row in rows[: 10 * BATCH]]
    asked = {one.source for one in found if one.is_due(now)} - {None}
    return [one for one in found if one.is_due(now) or (one.source in asked and one.goes_along(now))]


def _started(ids: Sequence[int], now: datetime, *, slow: bool) -> list[int]:
    if not ids or _tasks(now, slow=slow) >= _most(slow=slow):
        return []
    with transaction.atomic():
        claimed = [pk for pk in ids[:BATCH] if Node.objects.filter(unclaimed(now), pk=pk).update(check_claimed_at=now)]
        if claimed:
            ring("apps.sesam.tasks.check", *claimed, timeout=TASK_LIMIT)
    return claimed


def _tasks(now: datetime, *, slow: bool) -> int:
    """How many tasks are on the queue or at work: all that one task has to do was claimed at the same moment."""
    kind = Q(check_failures__gt=0) if slow else Q(check_failures=0)
    claims = Node.objects.filter(kind, check_claimed_at__range=(now - VOID, now + VOID))
    return claims.order_by().values("check_claimed_at").distinct().count()


def _most(*, slow: bool) -> int:
    """Tasks at a time; a worker that waits for nodes is missing elsewhere."""
    return 2 if settings.WORKERS >= 4 and not slow else 1


def _mark_off() -> None:
    """Switching a node off or on is told at once; nobody looks at one that is off."""
    for node in Node.objects.filter(enabled=False).exclude(state=NodeState.OFF):
        node_state_set(node=node, state=NodeState.OFF)
    for node in Node.objects.filter(enabled=True, state=NodeState.OFF):
        node_state_set(node=node, state=NodeState.UNKNOWN if node.owed_id is None else NodeState.HALF)
