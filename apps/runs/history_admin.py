"""The admin of what runs leave behind, such as deployments and syncs: to read only, and kept when runs are pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html

from apps.access.admin_site import ScopedModelAdmin
from apps.runs.wording import age, short, state_badge
from apps.runs.wording import took as took_words

if TYPE_CHECKING:
    from django.db.models import Model
    from django.http import HttpRequest


class HistoryAdmin(ScopedModelAdmin):
    """Of rows with `state`, `commit`, `requested_…`, `started_at`, `ended_at`, `run` and `run_number`."""

    list_display_links: ClassVar = None
    show_full_result_count = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="Result", ordering="state")
    def outcome(self, row: Any) -> str:
        return state_badge(row.state)

    @admin.display(description="Commit")
    def commit_what(self, row: Any) -> str:
        what = row.commit_subject or row.ref
        return format_html('{} <span class="dp-list-subject">{}</span>', short(row.commit), what)

    @admin.display(description="By", ordering="requested_name")
    def by(self, row: Any) -> str:
        return str(row.requested_name)

    @admin.display(description="Requested", ordering="requested_at")
    def requested_age(self, row: Any) -> str:
        return age(row.requested_at)

    @admin.display(description="Took")
    def took(self, row: Any) -> str:
        return took_words(row.started_at, row.ended_at) if row.started_at and row.ended_at else ""

    @admin.display(description="Run")
    def run_link(self, row: Any) -> str:
        if row.run_id is None:
            return f"#{row.run_number}" if row.run_number else ""
        address = reverse("admin:runs_run_change", args=[row.run_id])
        return format_html('<a class="dp-link" href="{}">#{}</a>', address, row.run_id)
