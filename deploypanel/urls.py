"""The panel's addresses."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from deploypanel.health import health

urlpatterns = [
    path("health", health, name="health"),
    path("runs/", include("apps.runs.urls")),
    path("admin/", admin.site.urls),
]
