"""Where programs call: forges, pipelines, and old clients at the root and below /prostagma/."""

from __future__ import annotations

from django.urls import path

from apps.triggers import cache_views, fire_views, views

urlpatterns = [
    path("hooks/<str:forge>", views.hook, name="hook"),
    path("trigger", fire_views.old_trigger, name="old_trigger"),
    path("prostagma/trigger", fire_views.old_trigger),
    path("cache", cache_views.old_cache, name="old_cache"),
    path("prostagma/cache", cache_views.old_cache),
    path("cache/s3", cache_views.old_cache_s3, name="old_cache_s3"),
    path("prostagma/cache/s3", cache_views.old_cache_s3),
    path("triggers/<path:name>/fire", fire_views.fire, name="trigger_fire"),
]
