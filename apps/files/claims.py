"""Whose download it is: a claim names the process, so that it can be told from one whose process is gone."""

from __future__ import annotations

import hashlib
import os
import secrets
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from django.utils import timezone

from apps.runs.machine import boot_id, is_alive, machine_name, own_start_time

if TYPE_CHECKING:
    from apps.files.models import CachedFile

BEAT = 3.0  # seconds between two signs of life
STALE = timedelta(seconds=20)  # without one: another may take over


def claim_new() -> str:
    return f"{_here()}:{os.getpid()}:{own_start_time():.2f}:{secrets.token_hex(8)}"


def is_live(row: CachedFile) -> bool:
    """Whether somebody is at work on it now. A process of this machine that was killed is known to be gone at once."""
    if not row.claimed_by or row.claimed_at is None:
        return False
    here, pid, started, _ = (*row.claimed_by.split(":"), "", "", "")[:4]
    if here == _here() and pid.isdigit() and not is_alive(int(pid), float(started or 0)):
        return False
    return row.claimed_at > timezone.now() - STALE


@lru_cache(maxsize=1)
def _here() -> str:
    """This machine since its boot; containers on one machine have names of their own."""
    return hashlib.sha256(f"{machine_name()}\n{boot_id()}".encode()).hexdigest()[:12]
