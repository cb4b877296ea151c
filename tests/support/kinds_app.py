"""Makes the tests' kind of run known to the processes that a test starts."""

from __future__ import annotations

from django.apps import AppConfig


class KindsConfig(AppConfig):
    name = "tests.support"
    label = "trial_kinds"

    def ready(self) -> None:
        from apps.runs.kinds import register
        from tests.support.kinds import Trial

        register(Trial())
