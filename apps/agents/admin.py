"""Agents in the admin, for administrators. An agent's name leads to its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, Subquery
from django.http import HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html

from apps.access.admin_site import ModelAdmin
from apps.agents import pages
from apps.agents.models import Agent, Order
from apps.agents.presence import agent_badge
from apps.runs.wording import age, state_badge

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern


@admin.register(Agent)
class AgentAdmin(ModelAdmin):
    empty_template = "agents/_empty.html"
    list_before_template = "agents/_list_before.html"
    list_display = ("agent", "state", "version", "machine", "seen", "fired_by", "last_result", "configure")
    list_display_links = None
    list_filter = ("enabled", "triggers")
    search_fields = ("name", "hostname", "address", "note")
    search_help_text = "Name, machine, address or note"
    ordering = ("name",)
    show_full_result_count = True
    actions = None
    fields = ("name", "enabled", "note")

    class Media:
        css: ClassVar = {"all": ("triggers/triggers.css",)}

    # --- rights: who holds an agent may run anything on its machine -------------------------

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    has_change_permission = has_view_permission
    has_module_permission = has_view_permission

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Not while something waits for it: nobody could carry that out, or end it truthfully."""
        if isinstance(obj, Agent) and pages.orders_open(obj):
            return False
        return self.has_view_permission(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return ("name",) if obj is not None else ()  # its machine knows itself by it

    # --- the list ---------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Agent]:
        newest = Order.objects.filter(agent=OuterRef("pk")).order_by("-run_id")
        rows: QuerySet[Agent] = super().get_queryset(request)
        return rows.prefetch_related("triggers").annotate(last_state=Subquery(newest.values("run__state")[:1]))

    @admin.display(description="Agent", ordering="name")
    def agent(self, row: Agent) -> str:
        return format_html(
            '<a class="dp-link dp-link-strong dp-nowrap" href="{}">{}</a> <span class="dp-list-subject">{}</span>',
            pages.page_url(row),
            row.name,
            row.note,
        )

    @admin.display(description="State", ordering="session")
    def state(self, row: Agent) -> str:
        shown = render_to_string("agents/_badge.html", {"badge": agent_badge(row, timezone.now())})
        return format_html('<span id="agent-state-{}">{}</span>', row.pk, shown)

    @admin.display(description="Machine", ordering="hostname")
    def machine(self, row: Agent) -> str:
        return format_html('{} <span class="dp-list-subject">{}</span>', row.hostname or "–", row.address)

    @admin.display(description="Last seen", ordering="seen_at")
    def seen(self, row: Agent) -> str:
        return age(row.seen_at)

    @admin.display(description="Triggers")
    def fired_by(self, row: Agent) -> str:
        names = [str(trigger) for trigger in row.triggers.all()]
        return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") or "–"

    @admin.display(description="Last result")
    def last_result(self, row: Agent) -> str:
        return state_badge(getattr(row, "last_state", None) or "") or "–"

    @admin.display(description="")
    def configure(self, row: Agent) -> str:
        address = reverse("admin:agents_agent_change", args=[row.pk])
        return format_html('<a class="dp-link" href="{}">Configure</a>', address)

    # --- pages of their own -----------------------------------------------------------------

    def response_post_save_add(self, request: HttpRequest, obj: Agent) -> HttpResponse:
        return HttpResponseRedirect(pages.page_url(obj))

    response_post_save_change = response_post_save_add

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own: tuple[tuple[str, Callable[..., Any]], ...] = (
            ("page", pages.page),
            ("live", pages.live),
            ("code", pages.code),
            ("revoke", pages.revoke),
            ("switch", pages.switch),
        )
        return [
            path("live.json", wrap(pages.live_list), name="agents_agent_live_list"),
            *(path(f"<int:pk>/{name}/", wrap(view), name=f"agents_agent_{name}") for name, view in own),
            *super().get_urls(),
        ]
