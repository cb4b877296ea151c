"""The worker's door."""

from __future__ import annotations

from apps.repos.services import panel_command_start


def poll(*ids: int) -> None:
    """In a process of its own: a Git server that does not answer must not hold a worker."""
    panel_command_start("repos_poll", *map(str, ids))
