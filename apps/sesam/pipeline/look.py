"""A run of this kind, from its first step to its last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.runs.errors import RunFailed

if TYPE_CHECKING:
    from apps.runs.work import Work
    from apps.sesam.models import Sync


def plan(work: Work, row: Sync) -> None:
    raise RunFailed("Nothing is carried out yet.")


def verify(work: Work, row: Sync) -> None:
    raise RunFailed("Nothing is carried out yet.")
