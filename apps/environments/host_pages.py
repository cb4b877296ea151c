"""A host's page: what it is, its last check, its keys; and the buttons, each a POST that calls one service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from apps.access.admin_site import actor_of
from apps.access.posts import posted
from apps.environments.errors import HostError
from apps.environments.host_key import fingerprint_or_nothing
from apps.environments.host_reads import CONNECTABLE, clusters_visible, environments_on, hosts_visible
from apps.environments.services.hosts import host_can_be_checked, host_check, host_key_pin, host_scan

if TYPE_CHECKING:
    from apps.environments.models import Host

TONES = {"ok": "good", "warning": "warn", "failed": "bad", "skipped": "idle"}
WORDS = {"ok": "OK", "warning": "Look at it", "failed": "Failed", "skipped": "Not asked"}
# What went wrong first, what is well last.
ORDER = ("failed", "warning", "skipped", "ok")


def page_url(host: Host) -> str:
    return reverse("admin:environments_host_page", args=[host.pk])


@require_GET
def host_page(request: HttpRequest, pk: int) -> TemplateResponse:
    return _page(request, _host(request, pk))


def _host(request: HttpRequest, pk: int) -> Host:
    """The host, if this person may see it; unknown and invisible are the same answer."""
    return get_object_or_404(hosts_visible(request.user).select_related(*CONNECTABLE), pk=pk)


_act = posted(_host, page_url)


@_act
def check(request: HttpRequest, host: Host) -> HttpResponse:
    report = host_check(host=host, actor=actor_of(request))
    say = messages.success if report.ok else messages.error
    say(request, f"{host.name}: {report.summary()}")
    return HttpResponseRedirect(f"{page_url(host)}#report")


@_act
def scan(request: HttpRequest, host: Host) -> HttpResponse:
    """Shows the keys and stores nothing: a person compares first."""
    if not _may_manage(request):
        messages.error(request, "You may not change hosts.")
        return HttpResponseRedirect(page_url(host))
    pinned = fingerprint_or_nothing(host.host_key)
    try:
        keys = host_scan(host=host)
    except HostError as error:
        return _page(request, host, scan_error=error)
    shown = [{"key": key, "pinned": key.fingerprint == pinned} for key in keys]
    changed = bool(pinned) and not any(one["pinned"] for one in shown)
    return _page(request, host, scanned=shown, changed=changed)


@_act
def pin(request: HttpRequest, host: Host) -> HttpResponse:
    key = host_key_pin(host=host, actor=actor_of(request), key=request.POST.get("key", ""))
    messages.success(request, f"{host.name}: from now on only the key {key.fingerprint} is accepted.")
    return HttpResponseRedirect(page_url(host))


def _may_manage(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("environments.change_host"))


def _page(request: HttpRequest, host: Host, **more: Any) -> TemplateResponse:
    environments = list(environments_on(host, request.user))
    clusters = clusters_visible(request.user).filter(hosts=host)
    context = {
        **admin.site.each_context(request),
        "title": f"Host {host.name}",
        "host": host,
        "fingerprint": fingerprint_or_nothing(host.host_key),
        "clusters": clusters,
        "environments": environments,
        "checks": _checks(host, {one.path: one.pk for one in environments}),
        "may_manage": _may_manage(request),
        "may_check": host_can_be_checked(actor_of(request), host),
        **more,
    }
    return TemplateResponse(request, "environments/host.html", context)


def _checks(host: Host, visible: dict[str, int]) -> list[dict[str, Any]]:
    """The last report's lines that concern the host itself or an environment that the person sees."""
    lines = [
        {
            **line,
            "tone": TONES.get(line["result"], "idle"),
            "word": WORDS.get(line["result"], line["result"]),
            "environment_id": visible.get(line["environment"]),
        }
        for line in host.check_report.get("checks", ())
        if not line["environment"] or line["environment"] in visible
    ]
    return sorted(lines, key=lambda line: ORDER.index(line["result"]))
