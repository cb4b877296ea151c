from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings


class DeploypanelConfig(AppConfig):
    name = "deploypanel"
    verbose_name = "Deploypanel"

    def ready(self) -> None:
        if settings.ROLE == "worker":
            from apps.runs.busy import watch_workers

            watch_workers()
