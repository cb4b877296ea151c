"""What putting a snapshot back would change, as lines for a terminal and as JSON for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.access.errors import NotFound
from apps.sesam.management.acting import question_lines
from apps.sesam.management.plan_words import change_lines
from apps.sesam.snapshot_reads import difference_since

if TYPE_CHECKING:
    from apps.sesam.models import Snapshot
    from apps.sesam.snapshot_reads import Since

MOVES = ("new", "changed", "removed")


def since_meant(snapshot: Snapshot) -> Since:
    """What has changed since then; raises NotFound where the panel does not know what the node has."""
    since = difference_since(snapshot)
    if since is None:
        raise NotFound(f"What {snapshot.node} has now is not known: no sync of it is kept to compare with.")
    return since


def since_lines(snapshot: Snapshot, since: Since) -> list[str]:
    """*New* is what comes back. Only what a sync left is known: the run itself asks the node."""
    taken = f"{timezone.localtime(snapshot.taken_at):%Y-%m-%d %H:%M}"
    lines = [f"{snapshot.node}: from what run #{since.sync.run_number} left, to what it had at {taken}"]
    if since.is_nothing:
        return [*lines, "Nothing would change."]
    counts = ", ".join(f"{since.counts[move]} {move}" for move in (*MOVES, "unchanged"))
    ids = {move: [change.id for change in since.changes if change.move == move] for move in MOVES}
    more = [f"  … and {since.more} more"] if since.more else []
    asked = question_lines([one.as_json() for one in since.asked])
    return [*lines, counts, *change_lines(ids, since.variables), *more, *asked]


def since_json(snapshot: Snapshot, since: Since) -> dict[str, Any]:
    """At most the first hundred ids; `counts` has all."""
    return {
        "node": str(snapshot.node),
        "snapshot": snapshot.pk,
        "taken_at": snapshot.taken_at,
        "against_run": since.sync.run_number,
        "counts": since.counts,
        **{move: [change.id for change in since.changes if change.move == move] for move in MOVES},
        "variables": {move: [one.name for one in since.variables if one.move == move] for move in MOVES},
        "questions": [one.as_json() for one in since.asked],
    }
