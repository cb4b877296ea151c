"""HTTP addresses, all below `/runs/`."""

from __future__ import annotations

from django.urls import path

from apps.runs import views

app_name = "runs"
urlpatterns = [
    path("<int:run_id>/log.txt", views.log_text, name="log"),
    path("<int:run_id>/lines.json", views.log_lines, name="lines"),
    path("<int:run_id>/matches.json", views.log_matches, name="matches"),
]
