"""The file cache: what the panel downloads for machines that have no way to the internet."""

from __future__ import annotations

from django.apps import AppConfig


class FilesConfig(AppConfig):
    name = "apps.files"
    verbose_name = "File cache"
    default_auto_field = "django.db.models.BigAutoField"
