"""Where agents call. `/agent/socket` and `/agent/poll` are answered before Django (consumers.py, polls.py)."""

from __future__ import annotations

from django.urls import path

from apps.agents import pages, views

urlpatterns = [
    path("deploypanel-agent.pyz", pages.program, name="agent_program"),
    path("enrol", views.enrol, name="agent_enrol"),
    path("files", views.files, name="agent_files"),
    path("files/<str:sha256>", views.file, name="agent_file"),
]
