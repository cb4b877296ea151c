"""The buttons of a repository's page: each is a POST that parses, calls one service and says what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache

from apps.access import gate
from apps.access.admin_site import actor_of
from apps.access.posts import posted
from apps.repos import services
from apps.repos.pages import base_context, page_url, repository_or_404

if TYPE_CHECKING:
    from apps.repos.models import Repository


_act = posted(repository_or_404, page_url)


@_act
def fetch(request: HttpRequest, repository: Repository) -> HttpResponse:
    services.repository_fetch_request(repository=repository, actor=actor_of(request))
    messages.success(request, "A worker fetches now; the page follows.")
    return HttpResponseRedirect(page_url(repository))


@_act
def scan(request: HttpRequest, repository: Repository) -> HttpResponse:
    """Show what the Git server shows, for a person to compare. Nothing is trusted yet."""
    gate.require(actor=actor_of(request), act=gate.Act.CONFIGURE, subject=repository, action="scan host keys")
    pinned = services.login_of(repository).pinned if repository.host_keys.strip() else []
    context = {
        **base_context(request, repository),
        "keys": services.host_keys_scan(repository=repository),
        "pinned": pinned,
    }
    return TemplateResponse(request, "repos/scan.html", context)


@_act
def pin(request: HttpRequest, repository: Repository) -> HttpResponse:
    chosen = "\n".join(request.POST.getlist("key"))
    services.host_keys_pin(repository=repository, keys=chosen, actor=actor_of(request))
    messages.success(request, "The host key is pinned.")
    services.repository_fetch_ring(repository=repository)
    return HttpResponseRedirect(page_url(repository))


@never_cache
@_act
def renew(request: HttpRequest, repository: Repository) -> HttpResponse:
    """The new secret, shown on the answer to this very POST and never again."""
    fresh = services.webhook_secret_renew(repository=repository, actor=actor_of(request))
    context = {**base_context(request, repository), "fresh": fresh}
    return TemplateResponse(request, "repos/secret.html", context)


@_act
def drop_old(request: HttpRequest, repository: Repository) -> HttpResponse:
    services.webhook_secret_drop_old(repository=repository, actor=actor_of(request))
    messages.success(request, "The former secret is not accepted any more.")
    return HttpResponseRedirect(page_url(repository))
