"""django-q2's ORM broker; the lease of each task is its own time limit and a margin.

Stock django-q2 leases every task for the cluster's `retry`, whatever the task's own limit, and hands
it out a second time when that is over. What a second delivery would do is nothing (all tasks claim
their row first), but a short task whose worker was killed should come back soon and not in eleven minutes.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf

if TYPE_CHECKING:
    from django_q.models import OrmQ

# Beyond the limit: waiting in the cluster's prefetch queue, and the worker's own shutdown.
MARGIN = timedelta(seconds=30)


class LeasingBroker(ORM):
    def timeout(self, task: OrmQ) -> datetime:
        """When the queue may hand `task` out again."""
        limit = task.task.get("timeout") or Conf.TIMEOUT
        return timezone.now() + timedelta(seconds=limit) + MARGIN
