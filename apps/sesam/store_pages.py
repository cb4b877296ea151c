"""A secret store's page: who uses it, and whether the panel gets in. For who may see or change secret stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from apps.access import audit
from apps.access.admin_site import actor_of
from apps.access.asked import nul_refused
from apps.access.errors import PanelError
from apps.sesam.models import SecretStore
from apps.sesam.selectors import nodes_visible
from apps.sesam.vault import store_opened

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = 200  # that one test looks for


def page_url(store: SecretStore) -> str:
    return reverse("admin:sesam_secretstore_page", args=[store.pk])


@require_GET
def page(request: HttpRequest, pk: int) -> TemplateResponse:
    return _page(request, _store(request, pk))


@require_POST
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Log in now, and see which of the names that were written are there. No value is ever shown."""
    store = _store(request, pk, "change")
    nul_refused(request)
    names = list(dict.fromkeys(request.POST.get("names", "").split()))[:NAMES]
    told: dict[str, Any]
    try:
        told = {"present": sorted(_present(store, names))}
        told["absent"] = [name for name in names if name not in told["present"]]
    except PanelError as error:
        told = {"error": str(error)}
    audit.record(
        actor=actor_of(request), action="test secret store", detail={"store": store.name, "ok": not told.get("error")}
    )
    return _page(request, store, tested=True, names=names, **told)


def _present(store: SecretStore, names: Sequence[str]) -> frozenset[str]:
    with store_opened(store) as reader:
        return reader.present(names)


def _store(request: HttpRequest, pk: int, verb: str = "view") -> SecretStore:
    user = request.user
    if not any(user.has_perm(f"sesam.{one}_secretstore") for one in {verb, "change"}):
        raise Http404
    return get_object_or_404(SecretStore, pk=pk)


def _page(request: HttpRequest, store: SecretStore, **more: Any) -> TemplateResponse:
    context = {
        **admin.site.each_context(request),
        "title": f"Secret store {store.name}",
        "store": store,
        "nodes": nodes_visible(request.user).filter(secret_store=store),
        "secrets_total": store.secrets.count() if store.kind == SecretStore.Kind.PANEL else None,
        "may_manage": request.user.has_perm("sesam.change_secretstore"),
        **more,
    }
    return TemplateResponse(request, "sesam/store.html", context)
