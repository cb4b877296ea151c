"""The page on which administrators let old Prostagma clients in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from apps.access import audit
from apps.access.admin_site import ModelAdmin, actor_of
from apps.access.asked import nul_refused
from apps.access.errors import PanelError
from apps.triggers.models import Firing, OldProtocol, Trigger
from apps.triggers.services.secrets import server_secret_is_set, server_secret_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model
    from django.urls import URLPattern


@admin.register(OldProtocol)
class OldProtocolAdmin(ModelAdmin):
    """One row, which nobody adds or deletes: its list is its page."""

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    has_module_permission = has_view_permission

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    has_delete_permission = has_change_permission

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        _administrators(request)
        row = OldProtocol.objects.order_by("pk").first() or OldProtocol()
        public = settings.PUBLIC_URL.rstrip("/")
        context = {
            **self.admin_site.each_context(request),
            "title": "Old clients",
            "opts": self.opts,
            "row": row,
            "is_on": server_secret_is_set(),
            "from_environment": bool(settings.PROSTAGMA_SECRET),
            "host": public,
            "host_prefixed": f"{public}/prostagma",
            "made": Trigger.objects.filter(made_by_request=True).count(),
            "last": Firing.objects.filter(source=Firing.Source.OLD).select_related("trigger").first(),
        }
        return TemplateResponse(request, "triggers/old_clients.html", context)

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        _administrators(request)
        return HttpResponseRedirect(_url())

    def get_urls(self) -> list[URLPattern]:
        own: tuple[tuple[str, Callable[..., Any]], ...] = (("secret", secret), ("off", off), ("unknown", unknown))
        wrap = self.admin_site.admin_view
        pages = [path(f"{name}/", wrap(require_POST(view)), name=f"triggers_oldprotocol_{name}") for name, view in own]
        return [*pages, *super().get_urls()]


def _url() -> str:
    return reverse("admin:triggers_oldprotocol_changelist")


def _administrators(request: HttpRequest) -> None:
    if not request.user.is_superuser:
        raise PermissionDenied
    nul_refused(request)


def secret(request: HttpRequest) -> HttpResponse:
    """Set what old clients send; it is theirs already, so it is typed and not made."""
    _administrators(request)
    given = request.POST.get("secret", "").strip()
    if not given:
        messages.error(request, "Enter the secret that the clients have; to switch them off, press “Switch off”.")
        return HttpResponseRedirect(_url())
    return _set(request, given, "Old clients may call with this secret.")


def off(request: HttpRequest) -> HttpResponse:
    _administrators(request)
    return _set(request, "", "Old clients are refused from now on.")


def _set(request: HttpRequest, given: str, done: str) -> HttpResponse:
    try:
        server_secret_set(actor=actor_of(request), secret=given)
        messages.success(request, done)
    except PanelError as error:
        messages.error(request, str(error))
    return HttpResponseRedirect(_url())


def unknown(request: HttpRequest) -> HttpResponse:
    """Whether a request makes the trigger that it names."""
    _administrators(request)
    row = OldProtocol.objects.order_by("pk").first() or OldProtocol()
    row.create_unknown = "create_unknown" in request.POST
    row.save()
    audit.record(actor=actor_of(request), action="prostagma.unknown", detail={"create_unknown": row.create_unknown})
    words = "Requests make the triggers that they name." if row.create_unknown else "Unknown triggers are refused."
    messages.success(request, words)
    return HttpResponseRedirect(_url())
