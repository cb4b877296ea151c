"""Sesam nodes, whose configuration follows a Git repository."""

from __future__ import annotations

from django.apps import AppConfig


class SesamConfig(AppConfig):
    name = "apps.sesam"
    verbose_name = "Sesam"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from apps.sesam.kinds import register_kinds

        register_kinds()
