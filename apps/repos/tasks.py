"""The worker's door."""

from __future__ import annotations

from apps.repos.services import repository_fetch_start


def fetch(repository_id: int) -> None:
    repository_fetch_start(repository_id=repository_id)
