"""Repositories without webhooks: looked at every so often, by one process for all that are due."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from apps.access.errors import PanelError
from apps.repos import mirror
from apps.repos.models import Repository
from apps.repos.services import login_of
from apps.runs.queue import ring
from apps.triggers.selectors import repositories_due
from apps.triggers.services.push import pushes_handle
from apps.triggers.webhooks import PushEvent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from apps.triggers.services.push import Handled

logger = logging.getLogger(__name__)
AT_ONCE = 8  # servers asked at the same time
MOST = 200  # repositories of one process


def polls_start_due(now: datetime) -> list[int]:
    """Claim the repositories that are due and have a worker look at them; their ids. Called by the clock."""
    claimed = []
    for due in repositories_due(now)[:MOST]:
        unchanged = Q(polled_at=due.polled_at) if due.polled_at else Q(polled_at__isnull=True)
        if Repository.objects.filter(unchanged, pk=due.pk, poll_interval__isnull=False).update(polled_at=now):
            claimed.append(due.pk)
    if claimed:
        ring("apps.triggers.tasks.poll", *claimed)
    return claimed


def repositories_poll(*, ids: Sequence[int]) -> None:
    """Look at these repositories, several at once. What goes wrong is kept on each row."""
    if len(ids) == 1:
        _poll_quietly(ids[0])
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(_poll_in_thread, ids))


def repository_poll(*, repository_id: int) -> Handled | None:
    """One look: `git ls-remote`, compared with what was there; branches that moved are handled as pushes.

    The first look only remembers. Returns None when nothing is new. Raises GitError.
    """
    repository = Repository.objects.get(pk=repository_id)
    try:
        found = mirror.remote_refs(login_of(repository))
    except PanelError as error:
        Repository.objects.filter(pk=repository_id).update(fetch_error=str(error)[:1000])
        raise
    with transaction.atomic():  # two looks at once: the second sees what the first has stored
        row = Repository.objects.select_for_update().only("polled_refs", "fetch_error").get(pk=repository_id)
        known = row.polled_refs
        Repository.objects.filter(pk=repository_id).update(
            polled_refs=found, polled_at=timezone.now(), fetch_error="" if known == found else row.fetch_error
        )
        if known == found:
            return None
        changes = mirror.changes_between(known or {}, found) if known is not None else []
        pushes = [PushEvent(ref=change.name, before=change.before, after=change.after) for change in changes]
        return pushes_handle(repository=repository, pushes=pushes)


def _poll_quietly(repository_id: int) -> None:
    try:
        repository_poll(repository_id=repository_id)
    except Repository.DoesNotExist:
        return
    except PanelError as error:
        logger.warning("Poll of repository %s: %s", repository_id, error)


def _poll_in_thread(repository_id: int) -> None:
    try:
        _poll_quietly(repository_id)
    finally:
        connection.close()  # each thread has its own
