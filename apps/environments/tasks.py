"""The worker's door. Each may come twice, or late."""

from __future__ import annotations

from apps.environments.models import Environment
from apps.environments.services.status import environment_status_read


def status_read(environment_id: int) -> None:
    environment = Environment.objects.filter(pk=environment_id).select_related("repository").first()
    if environment is not None:  # removed since the bell rang
        environment_status_read(environment=environment)
