"""The worker's door. Each may come twice, or late."""

from __future__ import annotations

from apps.environments.services.status import statuses_read_start


def status_read(*environment_ids: int) -> None:
    statuses_read_start(environment_ids=environment_ids)
