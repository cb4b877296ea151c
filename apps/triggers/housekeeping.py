"""What is thrown away after a while. It may take minutes, so the clock has a worker do it."""

from __future__ import annotations

from django.utils import timezone

from apps.access.services import sign_ins_prune
from apps.files.services import files_prune
from apps.repos.services import mirrors_prune, trees_prune
from apps.runs.beats import beats_prune
from apps.runs.queue_state import tasks_prune
from apps.runs.services import runs_prune
from apps.sesam.services import snapshots_prune, syncs_lighten
from apps.triggers.services import deliveries_prune
from apps.triggers.services.prune import firings_prune


def prune() -> None:
    """Delete old runs with their logs, working folders and trees, deliveries, firings, rows of the queue, mirrors of no
    use, what nodes had before they were changed, what the syncs of old runs compared, and counts of failed sign-ins.

    Safe to repeat.
    """
    now = timezone.now()
    tasks_prune(now=now)
    beats_prune(now=now)
    sign_ins_prune(now)
    deliveries_prune(now)
    firings_prune(now)
    trees_prune()
    mirrors_prune()
    runs_prune(now)
    syncs_lighten()
    snapshots_prune()
    files_prune(now)
