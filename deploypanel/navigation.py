"""The menu: what a person may open, in the order of the day's work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.urls import reverse

if TYPE_CHECKING:
    from django.http import HttpRequest


@dataclass(frozen=True)
class Entry:
    title: str
    model: str  # as `app.Model`
    icon: str  # a name of Material Symbols


MENU: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    (
        "Deploy",
        (
            Entry("Environments", "environments.Environment", "rocket_launch"),
            Entry("Runs", "runs.Run", "play_circle"),
            Entry("Deployments", "environments.Deployment", "history"),
        ),
    ),
    (
        "Sesam",
        (
            Entry("Nodes", "sesam.Node", "hub"),
            Entry("Syncs", "sesam.Sync", "sync"),
            Entry("Secret stores", "sesam.SecretStore", "password"),
        ),
    ),
    (
        "Triggers",
        (
            Entry("Triggers", "triggers.Trigger", "bolt"),
            Entry("Firings", "triggers.Firing", "history_toggle_off"),
            Entry("Agents", "agents.Agent", "smart_toy"),
            Entry("File cache", "files.CachedFile", "download_for_offline"),
            Entry("Old clients", "triggers.OldProtocol", "podcasts"),
        ),
    ),
    (
        "Code",
        (
            Entry("Repositories", "repos.Repository", "account_tree"),
            Entry("Deliveries", "triggers.Delivery", "inbox"),
        ),
    ),
    (
        "Fleet",
        (
            Entry("Hosts", "environments.Host", "dns"),
            Entry("Clusters", "environments.Cluster", "lan"),
        ),
    ),
    (
        "Access",
        (
            Entry("Business hours", "access.BusinessHours", "schedule"),
            Entry("Freezes", "access.Freeze", "ac_unit"),
            Entry("SSH keys", "access.SshKey", "key"),
            Entry("API tokens", "access.ApiToken", "token"),
            Entry("Users", "auth.User", "person"),
            Entry("Groups", "auth.Group", "group"),
            Entry("Audit", "access.AuditEntry", "fact_check"),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups of the sidebar for this person; a group with nothing to open is left out."""
    groups: list[dict[str, Any]] = [
        {"items": [{"title": "Start", "icon": "home", "link": reverse("admin:index")}]},
    ]
    for title, entries in MENU:
        items = [_item(entry) for entry in entries if _may_open(request, entry)]
        if items:
            groups.append({"title": title, "items": items})
    return groups


def _may_open(request: HttpRequest, entry: Entry) -> bool:
    model = apps.get_model(entry.model)
    if not admin.site.is_registered(model):
        return False
    return bool(admin.site.get_model_admin(model).has_view_permission(request))


def _item(entry: Entry) -> dict[str, Any]:
    app, model = entry.model.lower().split(".")
    return {"title": entry.title, "icon": entry.icon, "link": reverse(f"admin:{app}_{model}_changelist")}
