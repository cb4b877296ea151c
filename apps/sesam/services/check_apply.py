"""What a check starts: a sync where there is something to apply, and the same one not again and again."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Case, F, Value, When

from apps.access.errors import PanelError
from apps.runs.models import Cause
from apps.sesam.models import Node
from apps.sesam.services.automatic import sync_automatic
from apps.sesam.states import NodeState

if TYPE_CHECKING:
    from datetime import datetime

    from apps.sesam.services.automatic import SyncOutcome
    from apps.sesam.services.check_judge import Verdict

logger = logging.getLogger(__name__)
FIRST_PAUSE = timedelta(minutes=5)  # after trying in vain; then twice as long each time
LONGEST_PAUSE = timedelta(hours=1)
WHY = {NodeState.BEHIND: "a check: Git has moved on", NodeState.DRIFTED: "a check: the node has drifted"}


def verdict_apply(*, node: Node, commit: str, verdict: Verdict, now: datetime) -> SyncOutcome | None:
    """Start a sync, if there is something to apply and the same was not tried a moment ago."""
    if not verdict.apply or not may_try(node, verdict.key, now) or _is_overtaken(node):
        return None
    _remember(node, verdict.key, now)
    try:
        return sync_automatic(node=node, commit=commit, why=WHY[verdict.state], cause=Cause.SCHEDULE)
    except PanelError as error:
        logger.warning("%s cannot be synced: %s", node.name, error)
        return None


def may_try(node: Node, key: str, now: datetime) -> bool:
    """Whether these two sides were not tried yet, or long enough ago.

    They are still the same, so it ended in vain: refused, failed, stopped, or put back by somebody.
    """
    if node.tried != key or node.tried_at is None:
        return True
    doubled: int = 2 ** min(max(node.tries - 1, 0), 8)
    return now >= node.tried_at + min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def _is_overtaken(node: Node) -> bool:
    """Whether a push brought something newer since the check asked Git: that must not be undone by the older."""
    return Node.objects.filter(pk=node.pk, wanted_at__gt=node.check_claimed_at).exists()


def _remember(node: Node, key: str, now: datetime) -> None:
    """Before it starts: a check that is killed here must not start one after the other."""
    count = Case(When(tried=key, then=F("tries") + 1), default=Value(1))
    Node.objects.filter(pk=node.pk).update(tries=count, tried=key, tried_at=now)
