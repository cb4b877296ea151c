"""A node's page and what it fetches. Every view first asks whether the person may see the node at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import Http404, HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from apps.access.admin_site import actor_of
from apps.access.levels import Level
from apps.access.permissions import level_of
from apps.runs.notices import is_unprotected
from apps.sesam import control
from apps.sesam.control_reads import (
    NodeSituation,
    durations_recent,
    history_page,
    situation_read,
    syncs_comparable,
    ways_back,
)
from apps.sesam.selectors import nodes_visible
from apps.sesam.snapshot_reads import difference_since, questions_asked

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from apps.sesam.models import Node

WITH = ("repository", "hours", "sync_as", "secret_store", "owed")


def node_or_404(request: HttpRequest, pk: int) -> tuple[Node, Level]:
    """The node and how much this person may do with it. Unknown and invisible are the same answer."""
    node = get_object_or_404(nodes_visible(_user(request)).select_related(*WITH), pk=pk)
    level = level_of(_user(request), node)
    if level < Level.VIEW:
        raise Http404
    return node, level


def _user(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]  # admin_view lets only people of the panel in


def node_context(request: HttpRequest, node: Node, title: str = "") -> dict[str, Any]:
    """What all pages of a node have in common; `sesam/base.html` warns by it where TLS is not verified."""
    return {**admin.site.each_context(request), "title": title or f"Node {node.name}", "node": node}


@require_GET
def control_page(request: HttpRequest, pk: int) -> TemplateResponse:
    """What the node has, and the buttons that this person may press."""
    situation = _situation(request, pk)
    node = situation.node
    context = {
        **node_context(request, node),
        **situation_context(request, situation),
        **_history_context(request, node),
        "ref": request.GET.get("ref", "").strip(),
        "comparable": syncs_comparable(node),
    }
    return TemplateResponse(request, "sesam/control.html", context)


def _history_context(request: HttpRequest, node: Node) -> dict[str, Any]:
    return {"history": history_page(node, request.GET.get("page", "1")), "bars": durations_recent(node)}


def _situation(request: HttpRequest, pk: int) -> NodeSituation:
    node, level = node_or_404(request, pk)
    return situation_read(node=node, actor=actor_of(request), level=level)


def situation_context(request: HttpRequest, situation: NodeSituation) -> dict[str, Any]:
    """What the parts of the page that refresh themselves are made of."""
    node = situation.node
    overrides = _user(request).is_superuser and not situation.decision.allowed and node.enabled
    return {
        "situation": situation,
        "banners": situation.banners,
        "state": control.state_badge(node),
        "node": node,
        "hours": node.hours,
        "overrides": overrides,
        "unprotected": is_unprotected(request.get_host(), request.is_secure()),
        "may_restore": situation.may_act and situation.active is None and (situation.decision.allowed or overrides),
        "ways_back": ways_back(node) if situation.may_act and not node.is_ci else [],
        "extras": _extras(node),
        "layout": control.layout_words(node if situation.master is None else situation.master.master),
        "left_alone": control.left_alone(node),
        "mode": control.mode_words(node, situation.master),
        "uploads": control.uploads(node),
        "act_urls": {name: act_url(node, name) for name in ("resume", "switch")},
        "verb": situation.verb,
        "look_url": act_url(node, "plan"),
        "look_label": "Plan",
        "look_help": "A plan changes nothing, anywhere.",
    }


def act_url(node: Node, act: str) -> str:
    return reverse(f"admin:sesam_node_{act}", args=[node.pk])


def _extras(node: Node) -> list[Any]:
    """The extra nodes that this master feeds."""
    if node.layout != "multi":
        return []
    return list(node.extras.select_related("repository", "node").order_by("name"))


LIVE_REGIONS = {
    "control-head": "sesam/_head.html",
    "control-banners": "runs/_banners.html",
    "control-running": "runs/_running.html",
    "control-plan": "sesam/_plan_card.html",
    "control-gate": "sesam/_gate.html",
    "control-restore": "sesam/_ways_back.html",
    "control-history": "sesam/_history.html",
}
LIVE_FOR_ALL = ("control-head", "control-banners", "control-running", "control-plan", "control-history")


@require_GET
def live(request: HttpRequest, pk: int) -> JsonResponse:
    """The parts of the page that move, by the id of the element they belong into; `?page=` of the history."""
    situation = _situation(request, pk)
    context = situation_context(request, situation) | _history_context(request, situation.node)
    names = LIVE_REGIONS if situation.may_act else LIVE_FOR_ALL
    return JsonResponse({name: render_to_string(LIVE_REGIONS[name], context, request=request) for name in names})


@require_GET
def snapshot_page(request: HttpRequest, pk: int, number: int) -> TemplateResponse:
    """What a snapshot would put back, before anyone presses the button."""
    situation = _situation(request, pk)
    node = situation.node
    snapshot = get_object_or_404(node.snapshots.select_related("content", "sync"), pk=number)
    difference = difference_since(snapshot)
    context = {
        **node_context(request, node, f"Restore {node.name}"),
        **situation_context(request, situation),
        "snapshot": snapshot,
        "difference": difference,
        "questions": questions_asked(snapshot, difference),
    }
    return TemplateResponse(request, "sesam/snapshot.html", context)
