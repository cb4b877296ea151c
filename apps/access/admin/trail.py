"""The audit trail: to be read, searched and filtered, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join

from apps.access.admin_site import ModelAdmin, display
from apps.access.models import AuditEntry
from apps.access.selectors import audit_visible

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


@admin.register(AuditEntry)
class AuditEntryAdmin(ModelAdmin):
    list_display = ("at", "who", "action", "subject", "outcome", "door", "address")
    list_display_links = ("at",)
    list_filter = ("allowed", "door", "action")
    list_filter_sheet = True
    search_fields = ("actor", "behind", "subject", "action", "address")
    search_help_text = "Person, subject, act or address"
    date_hierarchy = "at"
    ordering = ("-id",)
    show_full_result_count = False
    actions = None
    fields = ("at", "who", "door", "address", "action", "subject", "outcome", "reasons_list", "detail_text")
    readonly_fields = fields
    list_fullwidth = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        return audit_visible(request.user)  # type: ignore[arg-type]  # the admin lets no one else in

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        visible = self.get_queryset(request)
        if obj is not None:
            return bool(request.user.is_superuser) or visible.filter(pk=obj.pk).exists()
        return bool(request.user.is_superuser) or visible.exists()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        return False

    @display(description="who", ordering="actor")
    def who(self, entry: AuditEntry) -> str:
        return f"{entry.actor} (asked by {entry.behind})" if entry.behind else entry.actor

    @display(description="outcome", ordering="allowed")
    def outcome(self, entry: AuditEntry) -> SafeString:
        kind, word = ("good", "allowed") if entry.allowed else ("bad", "refused")
        if entry.allowed and entry.detail.get("overridden"):
            kind, word = "warn", "allowed by override"
        return format_html('<span class="dp-badge dp-{}">{}</span>', kind, word)

    @display(description="reasons")
    def reasons_list(self, entry: AuditEntry) -> SafeString | str:
        return format_html_join("", "<p>{}</p>", ((reason,) for reason in entry.reasons)) or "–"

    @display(description="detail")
    def detail_text(self, entry: AuditEntry) -> SafeString | str:
        if not entry.detail:
            return "–"
        text: Any = json.dumps(entry.detail, indent=2, ensure_ascii=False)
        return format_html('<pre class="dp-mono access-pre">{}</pre>', text)
