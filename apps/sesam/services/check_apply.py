"""What a check starts: a sync where there is something to apply, and the same one not again and again."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Case, F, Q, Value, When
from django.utils import timezone

from apps.access.errors import PanelError
from apps.runs.models import Cause
from apps.sesam.models import Node
from apps.sesam.services.automatic import sync_automatic
from apps.sesam.services.check_judge import WAITS
from apps.sesam.services.check_keep import DRIFT, QUIET
from apps.sesam.services.state import node_state_set
from apps.sesam.states import NodeState

if TYPE_CHECKING:
    from datetime import datetime

    from apps.sesam.services.automatic import SyncOutcome
    from apps.sesam.services.check_judge import Verdict

logger = logging.getLogger(__name__)
FIRST_PAUSE = timedelta(minutes=5)  # after trying in vain; then twice as long each time
LONGEST_PAUSE = timedelta(hours=1)
AT_ONCE = 3  # times that a node which drifts again and again is healed without a pause
WHY = {NodeState.BEHIND: "a check: Git has moved on", NodeState.DRIFTED: "a check: the node has drifted"}


def verdict_apply(*, node: Node, commit: str, verdict: Verdict, now: datetime) -> SyncOutcome | None:
    """Start a sync, if there is something to apply and the same was not tried a moment ago."""
    if not verdict.apply or _is_overtaken(node):
        return None
    key = tried_key(verdict)
    if not may_try(node, key, now):
        at = timezone.localtime(_again_at(node))
        text = f"{verdict.detail}{WAITS}{at:%H:%M}: it was tried {node.tries} times, and it is so again."
        node_state_set(node=node, state=verdict.state, detail=text)
        return None
    _remember(node, key, now)
    try:
        return sync_automatic(node=node, commit=commit, why=WHY[verdict.state], cause=Cause.SCHEDULE)
    except PanelError as error:
        logger.warning("%s cannot be synced: %s", node.name, error)
        return None


def tried_key(verdict: Verdict) -> str:
    """Under which a try is remembered: what was to be applied, and whether it was the node that had changed."""
    return f"{DRIFT}{verdict.key}"[:64] if verdict.state is NodeState.DRIFTED else verdict.key


def may_try(node: Node, key: str, now: datetime) -> bool:
    """Whether these two sides were not tried yet, or long enough ago.

    Where they are still the same, it ended in vain: refused, failed, stopped, or put back by somebody. A node that
    drifts again and again, each time to something else, is healed at once only a few times.
    """
    often = key.startswith(DRIFT) and node.tried.startswith(DRIFT) and node.tries >= AT_ONCE
    if node.tried_at is None or not (node.tried == key or often):
        return True
    return now >= _again_at(node)


def _again_at(node: Node) -> datetime:
    assert node.tried_at is not None
    doubled: int = 2 ** min(max(node.tries - 1, 0), 8)
    return node.tried_at + min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def _is_overtaken(node: Node) -> bool:
    """Whether a push brought something newer since the check asked Git: that must not be undone by the older."""
    since, now = node.check_claimed_at, timezone.now()
    return Node.objects.filter(pk=node.pk, wanted_at__gt=since, wanted_at__lte=now).exists()


def _remember(node: Node, key: str, now: datetime) -> None:
    """Before it starts: a check that is killed here must not start one after the other."""
    again = Q(tried=key)
    if key.startswith(DRIFT):
        again |= Q(tried__startswith=DRIFT, tried_at__gt=now - QUIET)
    count = Case(When(again, then=F("tries") + 1), default=Value(1))
    Node.objects.filter(pk=node.pk).update(tries=count, tried=key, tried_at=now)
