"""The worker's door."""

from __future__ import annotations

from apps.repos.services import panel_command_start
from apps.triggers.services.advance import action_advance
from apps.triggers.services.advance import firing_advance as firing_advanced
from apps.triggers.services.pushed import firing_check


def poll(*ids: int) -> None:
    """In a process of its own: a Git server that does not answer must not hold a worker."""
    panel_command_start("repos_poll", *map(str, ids))


def firing_advance(firing_id: int) -> None:
    firing_advanced(firing_id=firing_id)


def actions_advance(*ids: int) -> None:
    for number in ids:
        action_advance(action_id=number)


def firings_check(*ids: int) -> None:
    for number in ids:
        firing_check(firing_id=number)
