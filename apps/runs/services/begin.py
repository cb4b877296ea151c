"""The beginning of many runs at once that something other than a runner carries out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from apps.runs.bell import ring_viewers
from apps.runs.models import Run
from apps.runs.states import RunState

if TYPE_CHECKING:
    from collections.abc import Collection


def runs_begin(*, run_ids: Collection[int], token: str, **changes: Any) -> list[int]:
    """Queued runs become running, held by `token` (a new one); those that were still queued, in order.

    Their kind is not told: who calls this is who carries them out. One by one, a thousand would take seconds.
    """
    now = timezone.now()
    with transaction.atomic():
        Run.objects.filter(pk__in=run_ids, state=RunState.QUEUED).update(
            state=RunState.RUNNING, token=token, started_at=now, heartbeat_at=now, **changes
        )
        mine = Run.objects.filter(pk__in=run_ids, token=token, state=RunState.RUNNING)
        begun = list(mine.order_by("pk").values_list("pk", flat=True))
        ring_viewers(*begun)
    return begun
