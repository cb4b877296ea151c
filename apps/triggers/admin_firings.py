"""Firings in the admin: what came, what each led to; a page for each, and buttons for those that are held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.template.loader import render_to_string
from django.urls import path
from django.utils.html import format_html

from apps.access.admin_site import ScopedModelAdmin
from apps.access.asked import number_of
from apps.runs.presentation import subject_page
from apps.runs.wording import age, badge
from apps.triggers import firing_pages
from apps.triggers.models import Firing, Trigger
from apps.triggers.page_reads import firing_lines
from apps.triggers.page_words import SOURCE_WORDS, firing_badge

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.admin.views.main import ChangeList
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern


@admin.register(Firing)
class FiringAdmin(ScopedModelAdmin):
    empty_template = "triggers/_firings_empty.html"
    subject_field = "trigger"
    list_display = ("when", "trigger_link", "state_badge", "count", "who", "led_to")
    list_display_links = None
    list_filter = (("trigger", admin.RelatedOnlyFieldListFilter), "state", "source")
    list_select_related = ("trigger",)
    search_fields = ("trigger__name", "by", "text")
    search_help_text = "Trigger, person or reason"
    actions = None

    class Media:
        css: ClassVar = {"all": ("triggers/triggers.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Who sees a trigger sees this list; the menu asks on every page, and triggers are fewer than firings."""
        if obj is None:
            return admin.site.get_model_admin(Trigger).has_view_permission(request)
        return super().has_view_permission(request, obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Firing]:
        rows: QuerySet[Firing] = super().get_queryset(request)
        return rows.defer("payload", "knock")

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """What each row of this page led to is read at once, as far as the person may see it."""
        changes: Any = super().get_changelist_instance(request)
        lines = firing_lines(changes.result_list, request.user)  # type: ignore[arg-type]  # only people get here
        for row, line in zip(changes.result_list, lines, strict=True):
            row.line = line
        return changes  # type: ignore[no-any-return]

    # --- the list ---------------------------------------------------------------------------

    @admin.display(description="Received", ordering="received_at")
    def when(self, row: Firing) -> str:
        address = firing_pages.firing_url(row)
        return format_html('<a class="dp-link dp-link-strong" href="{}">{}</a>', address, age(row.received_at))

    @admin.display(description="Trigger", ordering="trigger__name")
    def trigger_link(self, row: Firing) -> str:
        return format_html('<a class="dp-link" href="{}">{}</a>', subject_page(row.trigger), row.trigger)

    @admin.display(description="State", ordering="state")
    def state_badge(self, row: Firing) -> str:
        shown = firing_badge(row)
        return badge(shown.text, shown.tone, shown.hint)

    @admin.display(description="By", ordering="by")
    def who(self, row: Firing) -> str:
        source = SOURCE_WORDS[Firing.Source(row.source)]
        return format_html('{} <span class="dp-list-subject">({})</span>', row.by, source)

    @admin.display(description="Led to")
    def led_to(self, row: Firing) -> str:
        return render_to_string("triggers/_led_to_runs.html", {"line": row.line})  # type: ignore[attr-defined]

    # --- one firing -------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A page to read: a firing is never edited."""
        return firing_pages.page(request, number_of(object_id) or 0)

    def get_urls(self) -> list[URLPattern]:
        pages: tuple[tuple[str, Callable[..., Any]], ...] = (
            ("live", firing_pages.live),
            ("release", firing_pages.release),
            ("cancel", firing_pages.cancel),
        )
        wrap = self.admin_site.admin_view
        own = [path(f"<int:pk>/{name}/", wrap(view), name=f"triggers_firing_{name}") for name, view in pages]
        return [*own, *super().get_urls()]
