"""Triggers in the admin: the list leads to each trigger's control page; the form is for those who may configure it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import BooleanField, Count, Exists, ExpressionWrapper, OuterRef, Q, Subquery
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html

from apps.access.admin_site import ScopedModelAdmin
from apps.access.asked import number_of
from apps.access.levels import Level
from apps.access.permissions import subjects_visible
from apps.agents.models import Agent
from apps.runs.wording import age, badge, state_badge
from apps.triggers import deleting, page_acts, page_views
from apps.triggers.admin_inlines import ActionInline, EndSourceInline, PushSourceInline
from apps.triggers.forms import TriggerForm
from apps.triggers.models import Effect, Firing, Trigger
from apps.triggers.services.release import firings_ask_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern


@admin.register(Trigger)
class TriggerAdmin(ScopedModelAdmin):
    empty_template = "triggers/_empty.html"
    form = TriggerForm
    inlines = (ActionInline, PushSourceInline, EndSourceInline)
    list_display = ("trigger", "state", "count", "fired", "last_result", "agents_words", "hours_name", "configure")
    list_display_links = None
    list_filter = ("enabled", "concurrency", "hours")
    list_select_related = ("hours",)
    search_fields = ("name",)
    search_help_text = "Name"
    ordering = ("name",)
    show_full_result_count = True
    autocomplete_fields = ("agents",)
    fieldsets: ClassVar = (
        (None, {"fields": ("name", "enabled", "concurrency")}),
        ("When", {"fields": ("hours", "when_closed", "schedule", "rate_limit", "rate_seconds")}),
        (
            "Its agents",
            {
                "fields": ("agents", "script", "max_age", "time_limit", "silence_limit"),
                "description": "Agents run their script at each firing. A script that the panel holds is signed, and "
                "checked by the agent before it runs. Only administrators choose agents.",
            },
        ),
        (
            "As whom",
            {
                "fields": ("act_as",),
                "description": "For the deployments and syncs below: whose rights and hours count. Who adds one must "
                "hold the right to start it.",
            },
        ),
    )

    class Media:
        css: ClassVar = {"all": ("triggers/triggers.css",)}
        js = ("triggers/actions.js",)

    # --- rights -----------------------------------------------------------------------------

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return () if request.user.is_superuser else ("agents",)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "act_as":
            kwargs["queryset"] = self._accounts(request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "script" and field is not None:
            field.widget.attrs |= {"rows": 8, "spellcheck": "false"}
            field.widget.attrs["class"] = f"{field.widget.attrs.get('class', '')} dp-mono"
        return field

    def _accounts(self, request: HttpRequest) -> QuerySet[User]:
        """Nobody lends rights that are not theirs: only a superuser names another account than the present or own."""
        people = User.objects.filter(is_active=True).order_by("username")
        if request.user.is_superuser:
            return people
        number = getattr(request.resolver_match, "kwargs", {}).get("object_id", "")
        present = Trigger.objects.filter(pk=number_of(number) or 0).values("act_as")
        return people.filter(Q(pk=request.user.pk) | Q(pk__in=present))

    # --- the form ---------------------------------------------------------------------------

    def response_post_save_change(self, request: HttpRequest, obj: Model) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:triggers_trigger_control", args=[obj.pk]))

    response_post_save_add = response_post_save_change

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """What is held may be let go by other hours, or must wait for them."""
        super().save_related(request, form, formsets, change)
        if {"hours", "when_closed"} & set(form.changed_data):
            firings_ask_again(trigger_id=form.instance.pk)

    # --- the list ---------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Trigger]:
        mine = subjects_visible(request.user, "trigger", Level.CONFIGURE).values("pk")
        newest = Effect.objects.filter(trigger=OuterRef("pk"), run__isnull=False).order_by("-id")
        agents = Agent.objects.filter(triggers=OuterRef("pk")).order_by().values("triggers")
        rows: QuerySet[Trigger] = super().get_queryset(request)
        return rows.annotate(
            configurable=ExpressionWrapper(Q(pk__in=mine), BooleanField()),
            last_state=Subquery(newest.values("run__state")[:1]),
            has_held=Exists(Firing.objects.filter(trigger=OuterRef("pk"), state=Firing.State.HELD)),
            agents_total=Subquery(agents.annotate(total=Count("pk")).values("total")[:1]),
        )

    @admin.display(description="Trigger", ordering="name")
    def trigger(self, row: Trigger) -> str:
        address = reverse("admin:triggers_trigger_control", args=[row.pk])
        return format_html('<a class="dp-link dp-link-strong" href="{}">{}</a>', address, row)

    @admin.display(description="State", ordering="enabled")
    def state(self, row: Trigger) -> str:
        if not row.enabled:
            return badge("Off")
        if getattr(row, "has_held", False):
            return badge("Held", "warn", "Firings wait until the window opens.")
        return badge("On", "good")

    @admin.display(description="Last fired", ordering="fired_at")
    def fired(self, row: Trigger) -> str:
        return age(row.fired_at)

    @admin.display(description="Last result")
    def last_result(self, row: Trigger) -> str:
        return state_badge(getattr(row, "last_state", None) or "") or "–"

    @admin.display(description="Agents")
    def agents_words(self, row: Trigger) -> str:
        return str(getattr(row, "agents_total", None) or "–")

    @admin.display(description="Hours", ordering="hours__name")
    def hours_name(self, row: Trigger) -> str:
        return format_html('<span class="dp-nowrap">{}</span>', row.hours.name if row.hours else "at any time")

    @admin.display(description="")
    def configure(self, row: Trigger) -> str:
        if not getattr(row, "configurable", False):
            return ""
        address = reverse("admin:triggers_trigger_change", args=[row.pk])
        return format_html('<a class="dp-link" href="{}">Configure</a>', address)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Its firings go with it, which nobody may delete one by one; while something waits or works it stays."""
        triggers = list(objs)
        counts = {str(self.opts.verbose_name_plural): len(triggers)}
        missing = {str(one) for one in triggers if not self.has_delete_permission(request, one)}
        return deleting.goes_with(triggers), counts, missing, deleting.keeps(triggers)

    # --- pages of their own -----------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        pages: tuple[tuple[str, Callable[..., Any]], ...] = (
            ("control", page_views.control_page),
            ("live", page_views.live),
            ("fire", page_acts.fire),
            ("secret", page_acts.secret),
            ("forget", page_acts.forget),
            ("switch", page_acts.switch),
        )
        wrap = self.admin_site.admin_view
        own = [path(f"<int:pk>/{name}/", wrap(view), name=f"triggers_trigger_{name}") for name, view in pages]
        return [*own, *super().get_urls()]
