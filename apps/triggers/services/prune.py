"""Old firings go with the runs that they led to; what each trigger did last stays."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Exists, OuterRef

from apps.runs.states import ENDED
from apps.triggers.models import Effect, Firing

if TYPE_CHECKING:
    from datetime import datetime

BATCH = 200
MOST_SECONDS = 10.0  # the next call goes on


def firings_prune(now: datetime) -> int:
    """Forget firings that are older than runs are kept and led to nothing that is not finished; how many."""
    deadline, count = time.monotonic() + MOST_SECONDS, 0
    newer = Firing.objects.filter(trigger=OuterRef("trigger"), pk__gt=OuterRef("pk"))
    effects = Effect.objects.filter(firing=OuterRef("pk"))
    waiting = effects.filter(state=Effect.State.PENDING)
    working = effects.filter(run__isnull=False).exclude(run__state__in=ENDED)
    old = Firing.objects.filter(
        Exists(newer),
        ~Exists(waiting),
        ~Exists(working),
        received_at__lt=now - timedelta(days=settings.RUN_KEEP_DAYS),
        state__in=[Firing.State.FIRED, Firing.State.REFUSED, Firing.State.IGNORED],
    )
    while ids := list(old.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        Firing.objects.filter(pk__in=ids).delete()
        count += len(ids)
        if time.monotonic() > deadline:
            break
    return count
