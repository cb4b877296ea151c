"""The panel's addresses."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from apps.access.views import sign_in
from deploypanel import dashboard, pages
from deploypanel.health import health
from deploypanel.metrics import metrics

urlpatterns = [
    path("", pages.root, name="root"),
    path("favicon.ico", pages.favicon, name="favicon"),
    path("health", health, name="health"),
    path("metrics", metrics, name="metrics"),
    path("prostagma/metrics", metrics, name="prostagma_metrics"),
    path("runs/", include("apps.runs.urls")),
    path("agent/", include("apps.agents.urls")),
    path("", include("apps.triggers.urls")),
    path("admin/start.json", dashboard.live, name="start_live"),
    path("admin/login/", sign_in),
    path("admin/", admin.site.urls),
]
