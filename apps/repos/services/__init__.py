"""What is done with repositories. Every door calls these."""

from __future__ import annotations

from apps.repos.services.change import (
    host_keys_pin,
    host_keys_scan,
    repository_save,
    webhook_secret_drop_old,
    webhook_secret_renew,
)
from apps.repos.services.export import repository_export, tree_borrowed, tree_times_settle, trees_prune
from apps.repos.services.fetch import (
    Fetch,
    branch_tip,
    branch_tips,
    login_of,
    panel_command_start,
    repository_fetch,
    repository_fetch_request,
    repository_fetch_ring,
    repository_fetch_start,
    repository_rebuild,
)
from apps.repos.services.prune import mirrors_prune
from apps.repos.services.publish import Published, folder_publish

__all__ = [
    "Fetch",
    "Published",
    "branch_tip",
    "branch_tips",
    "folder_publish",
    "host_keys_pin",
    "host_keys_scan",
    "login_of",
    "mirrors_prune",
    "panel_command_start",
    "repository_export",
    "repository_fetch",
    "repository_fetch_request",
    "repository_fetch_ring",
    "repository_fetch_start",
    "repository_rebuild",
    "repository_save",
    "tree_borrowed",
    "tree_times_settle",
    "trees_prune",
    "webhook_secret_drop_old",
    "webhook_secret_renew",
]
