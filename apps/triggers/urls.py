"""Where forges call."""

from __future__ import annotations

from django.urls import path

from apps.triggers import views

urlpatterns = [path("<str:forge>", views.hook, name="hook")]
