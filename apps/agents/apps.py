"""Agents: machines that nobody can reach from outside, which ask for their work and report it."""

from __future__ import annotations

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "apps.agents"
    verbose_name = "Agents"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from apps.agents.kinds import register_kinds

        register_kinds()
