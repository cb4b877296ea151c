from __future__ import annotations

from django.apps import AppConfig


class DeploypanelConfig(AppConfig):
    name = "deploypanel"
    verbose_name = "Deploypanel"
