"""Signs of life of the panel's processes, and leases: a right that one process holds at a time."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.runs.machine import machine_name
from apps.runs.models import Beat, Lease

# Seconds after which a process of that role counts as gone.
ALIVE_FOR = {"clock": 10, "worker": 20, "panel": 15}


def beat(*, role: str, detail: dict[str, Any] | None = None) -> None:
    """This process says that it lives, as its role on this machine."""
    machine = machine_name()
    now = {"role": role, "machine": machine, "pid": os.getpid(), "at": timezone.now(), "detail": detail or {}}
    Beat.objects.update_or_create(name=f"{role}@{machine}"[:120], defaults=now)


def worker_beat() -> None:
    """The task that the clock rings: only a worker that takes tasks and executes them can write this."""
    beat(role="worker")


def beats_alive(role: str, now: datetime | None = None) -> list[Beat]:
    """Processes of that role that have said so lately, the latest first."""
    since = (now or timezone.now()) - timedelta(seconds=ALIVE_FOR[role])
    return list(Beat.objects.filter(role=role, at__gte=since).order_by("-at"))


def beats_prune(*, now: datetime) -> int:
    """Forget processes that have said nothing for a day, such as machines that are no more."""
    return Beat.objects.filter(at__lt=now - timedelta(days=1)).delete()[0]


def lease_take(*, name: str, holder: str, seconds: float) -> bool:
    """Take or renew the lease for that long; False while another process holds it.

    One conditional UPDATE decides, so that two processes that ask at once cannot both get it.
    """
    now = timezone.now()
    expires = now + timedelta(seconds=seconds)
    free = Lease.objects.filter(name=name, expires_at__lt=now) | Lease.objects.filter(name=name, holder=holder)
    if free.update(holder=holder, expires_at=expires):
        return True
    if Lease.objects.filter(name=name).exists():
        return False
    try:
        with transaction.atomic():
            Lease.objects.create(name=name, holder=holder, expires_at=expires)
    except IntegrityError:
        return False
    return True


def lease_holder(name: str) -> str:
    """Who has, or last had, that lease; empty when nobody ever had."""
    return Lease.objects.filter(name=name).values_list("holder", flat=True).first() or ""


def lease_give_back(*, name: str, holder: str) -> None:
    """Let another take it at once; nothing happens when this process does not hold it."""
    Lease.objects.filter(name=name, holder=holder).update(expires_at=timezone.now() - timedelta(seconds=1))
