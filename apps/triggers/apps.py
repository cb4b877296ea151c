from __future__ import annotations

from django.apps import AppConfig


class TriggersConfig(AppConfig):
    name = "apps.triggers"
    label = "triggers"
    verbose_name = "Triggers"

    def ready(self) -> None:
        from apps.runs.kinds import follow_settled
        from apps.triggers import hours_changed  # noqa: F401 - registering is what it does
        from apps.triggers.services.ended import run_ended

        follow_settled(run_ended)
