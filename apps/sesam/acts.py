"""The buttons of a node's page: each is a POST that parses, calls one service and says what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse

from apps.access.admin_site import actor_of
from apps.access.asked import number_of
from apps.access.errors import InputError
from apps.runs.models import Cause
from apps.runs.page_acts import control_url, guarded, override_of, reason_of, run_page_or
from apps.sesam import services
from apps.sesam.control_reads import situation_read
from apps.sesam.services.switch import node_switch
from apps.sesam.views import node_context, node_or_404, situation_context

if TYPE_CHECKING:
    from apps.sesam.models import Node


def _node(request: HttpRequest, pk: int) -> Node:
    return node_or_404(request, pk)[0]


_act = guarded(_node)


@_act
def sync(request: HttpRequest, node: Node) -> HttpResponse:
    """Apply what Git has. Without the confirmation of the page's dialog, a page of its own asks."""
    if not request.POST.get("confirmed"):
        return _confirm(request, node)
    row = services.sync_request(
        node=node,
        actor=actor_of(request),
        cause=Cause.PERSON,
        ref=_ref(request),
        override=override_of(request),
        when_open="when_open" in request.POST,
        confirmed=confirmed_of(request),
        resend_secrets="resend_secrets" in request.POST,
    )
    return run_page_or(row.run, control_url(node))


def _confirm(request: HttpRequest, node: Node) -> HttpResponse:
    _, level = node_or_404(request, node.pk)
    context = {
        **node_context(request, node),
        **situation_context(request, situation_read(node=node, actor=actor_of(request), level=level)),
        "ref": _ref(request),
        "override": override_of(request),
        "when_open": "when_open" in request.POST,
        "resend_secrets": "resend_secrets" in request.POST,
        "confirms": request.POST.getlist("confirm"),
    }
    return TemplateResponse(request, "sesam/confirm_sync.html", context)


def _ref(request: HttpRequest) -> str:
    return request.POST.get("ref", "").strip()


def confirmed_of(request: HttpRequest) -> dict[str, int]:
    """The guard's questions that were answered by a check box: `removals:12`. Raises InputError."""
    found = {}
    for text in request.POST.getlist("confirm"):
        kind, _, number = text.partition(":")
        if (count := number_of(number)) is None:
            raise InputError(f"{text[:40]!r} confirms nothing: a question and a number are needed", "confirm")
        found[kind] = count
    return found


@_act
def plan(request: HttpRequest, node: Node) -> HttpResponse:
    """Ask what a sync would change; the answer appears on the node's page."""
    ref = _ref(request)
    if node.is_ci:
        services.verify_request(node=node, actor=actor_of(request), cause=Cause.PERSON, ref=ref)
    else:
        services.plan_request(node=node, actor=actor_of(request), cause=Cause.PERSON, ref=ref)
    return HttpResponseRedirect(control_url(node, ref=ref) + "#plan")


@_act
def restore(request: HttpRequest, node: Node) -> HttpResponse:
    """Put a snapshot back. Its own page has shown before what that changes."""
    snapshot = get_object_or_404(node.snapshots, pk=number_of(request.POST.get("snapshot", "")) or 0)
    if not request.POST.get("confirmed"):
        return HttpResponseRedirect(reverse("admin:sesam_node_snapshot", args=[node.pk, snapshot.pk]))
    row = services.restore_request(
        node=node,
        actor=actor_of(request),
        cause=Cause.PERSON,
        snapshot=snapshot,
        override=override_of(request),
        confirmed=confirmed_of(request),
    )
    return run_page_or(row.run, control_url(node))


@_act
def pause(request: HttpRequest, node: Node) -> HttpResponse:
    reason = reason_of(request) or "Paused from the node's page."
    services.node_pause(node=node, actor=actor_of(request), reason=reason)
    messages.success(request, "Nothing is applied by itself until someone resumes.")
    return HttpResponseRedirect(control_url(node))


@_act
def resume(request: HttpRequest, node: Node) -> HttpResponse:
    services.node_resume(node=node, actor=actor_of(request), reason=reason_of(request))
    messages.success(request, "Automatic applying goes on.")
    return HttpResponseRedirect(control_url(node))


@_act
def check(request: HttpRequest, node: Node) -> HttpResponse:
    """Ask the repository and the node now: in a worker, for a node that hangs must not hold the page."""
    services.node_check_request(node=node, actor=actor_of(request))
    messages.success(request, "The node and its repository are being asked; the answer appears here.")
    return HttpResponseRedirect(control_url(node))


@_act
def switch(request: HttpRequest, node: Node) -> HttpResponse:
    """On when it is off, off when it is on: as the page showed it."""
    wanted = request.POST.get("on", "0" if node.enabled else "1") == "1"
    node_switch(node=node, actor=actor_of(request), enabled=wanted)
    words = "It is on, and looked at now." if wanted else "It is off: neither checked nor changed."
    messages.success(request, words)
    return HttpResponseRedirect(control_url(node))
