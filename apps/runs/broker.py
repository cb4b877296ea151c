"""django-q2's ORM broker; the lease of each task is its own time limit and a margin."""

from __future__ import annotations

from django_q.brokers.orm import ORM


class LeasingBroker(ORM):
    pass
