"""Deliveries in the admin: what came, what it led to, and “Send again”."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import Prefetch
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from apps.access.admin_site import ScopedModelAdmin, actor_of
from apps.access.asked import number_of
from apps.access.errors import PanelError
from apps.access.levels import Level
from apps.access.permissions import subjects_visible
from apps.runs.selectors import runs_visible
from apps.triggers import (
    admin_firings,  # noqa: F401 - registers firings
    admin_old,  # noqa: F401 - registers the page of old clients
    admin_triggers,  # noqa: F401 - registers triggers
)
from apps.triggers.models import Delivery
from apps.triggers.services import delivery_resend

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest
    from django.urls import URLPattern


@admin.register(Delivery)
class DeliveryAdmin(ScopedModelAdmin):
    nothing_yet = "What forges send to the webhooks is kept here. A repository's page has the address to give them."
    subject_field = "repository"
    list_display = ("when", "repository", "forge", "event", "what", "commit", "pusher", "led_to")
    list_display_links = None
    list_filter = (("repository", admin.RelatedOnlyFieldListFilter), "forge", "event")
    search_fields = ("ref", "after", "pusher", "delivery_id")
    search_help_text = "Ref, commit, person or delivery number"
    list_select_related = ("repository",)
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        rows: QuerySet[Delivery] = super().get_queryset(request)
        seen = runs_visible(request.user)
        return rows.defer("body", "pushes").prefetch_related(Prefetch("runs", queryset=seen))

    # --- the list ---------------------------------------------------------------------------

    @admin.display(description="Received", ordering="received_at")
    def when(self, row: Delivery) -> str:
        return render_to_string("triggers/_when.html", {"delivery": row})

    @admin.display(description="Ref", ordering="ref")
    def what(self, row: Delivery) -> str:
        return row.ref.removeprefix("refs/heads/")

    @admin.display(description="Commit")
    def commit(self, row: Delivery) -> str:
        return format_html("<code>{}</code>", row.after[:8]) if row.after else "deleted"

    @admin.display(description="Led to")
    def led_to(self, row: Delivery) -> str:
        return render_to_string("triggers/_led_to.html", {"delivery": row})

    # --- one delivery -----------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A page to read: a delivery is never edited."""
        delivery = get_object_or_404(self.get_queryset(request), pk=number_of(object_id) or 0)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Delivery {delivery.pk}",
            "opts": self.opts,
            "delivery": delivery,
            "body": _indented(delivery.body),
            "lines": _lines_seen(request, delivery),
            "may_send": self.level(request, delivery) >= Level.IN_HOURS,
        }
        return TemplateResponse(request, "triggers/delivery.html", context)

    def get_urls(self) -> list[URLPattern]:
        resend = self.admin_site.admin_view(require_POST(self.resend))
        return [path("<int:pk>/resend/", resend, name="triggers_delivery_resend"), *super().get_urls()]

    def resend(self, request: HttpRequest, pk: int) -> HttpResponse:
        """POST: handle it once more."""
        delivery = get_object_or_404(self.get_queryset(request), pk=pk)
        shown = delivery
        try:
            shown = delivery_resend(delivery=delivery, actor=actor_of(request))
            told = (f"{line['text'].rstrip('.')}." for line in _lines_seen(request, shown))
            messages.success(request, " ".join(["Sent again:", *told]))
        except PanelError as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(reverse("admin:triggers_delivery_change", args=[shown.pk]))


def _lines_seen(request: HttpRequest, delivery: Delivery) -> list[dict[str, Any]]:
    """What it led to, on the environments and nodes that the person may see."""
    seen = {
        kind: {"", *subjects_visible(request.user, kind).values_list("path", flat=True)}
        for kind in ("environment", "node")
    }
    return [line for line in delivery.outcome if all(line.get(kind, "") in paths for kind, paths in seen.items())]


def _indented(body: str) -> str:
    """The payload as people read it; one that was cut when it was stored, as it is."""
    try:
        return json.dumps(json.loads(body), indent=1, ensure_ascii=False)
    except ValueError:
        return body
