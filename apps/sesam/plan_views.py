"""The plan of a sync, and comparisons on a node: pages, single entities, and the same for machines.

Every view first asks whether the person may see the node at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from apps.access.admin_site import actor_of
from apps.access.asked import nul_refused
from apps.access.errors import PanelError
from apps.access.levels import Level
from apps.access.permissions import level_of
from apps.sesam.compare_reads import HAD, compared, sync_name
from apps.sesam.control_reads import syncs_comparable
from apps.sesam.models import Node, Sync
from apps.sesam.plan_apply import apply_context
from apps.sesam.plan_progress import progress_of
from apps.sesam.plan_reads import Comparison, Filter, card_of, entity_page, plan_json, sync_comparison, tiles
from apps.sesam.variable_rows import variable_rows
from apps.sesam.views import node_context, node_or_404

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.urls import URLPattern

WITH = ("node__repository", "node__hours", "run", "before", "wanted", "restored")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a comparison is shown: the addresses of its page and of the others about it, and what they keep."""

    page: str
    entity: str
    download: str
    kept: str = ""  # the part of the query that says what is compared

    @classmethod
    def of(cls, name: str, pk: int, kept: str = "") -> Place:
        addresses = [reverse(f"admin:{name}{part}", args=[pk]) for part in ("", "_entity", "_json")]
        return cls(page=addresses[0], entity=addresses[1], download=addresses[2], kept=kept)

    def query(self, *queries: str) -> str:
        """What is compared, and more of a query, joined."""
        return "&".join(query for query in (self.kept, *queries) if query)


def sync_or_404(request: HttpRequest, pk: int) -> Sync:
    """The sync, if this person may see its node. One whose node is gone: superusers only."""
    nul_refused(request)
    row = get_object_or_404(Sync.objects.select_related(*WITH).defer("before__data", "wanted__data"), pk=pk)
    user = _user(request)
    seen = user.is_superuser if row.node is None else level_of(user, row.node) >= Level.VIEW
    if not seen:
        raise Http404
    return row


def _user(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]  # admin_view lets only people of the panel in


@require_GET
def plan_page(request: HttpRequest, pk: int) -> HttpResponse:
    """What a sync would change, is changing, or changed."""
    row = sync_or_404(request, pk)
    comparison, trouble = _of_sync(row)
    place = Place.of("sesam_sync_plan", row.pk)
    context = {
        **_node_context(request, row),
        "sync": row,
        "progress": progress_of(row),
        "trouble": trouble,
        "place": place,
    }
    if comparison is not None:
        context |= _comparison_context(request, comparison, place)
        context |= apply_context(row, comparison, actor_of(request))
    return TemplateResponse(request, "sesam/plan.html", context)


def _of_sync(row: Sync) -> tuple[Comparison | None, str]:
    """The comparison, or why there is none any more."""
    try:
        return sync_comparison(row), ""
    except PanelError as error:
        return None, str(error)


def _node_context(request: HttpRequest, row: Sync) -> dict[str, Any]:
    title = f"{row.get_action_display()} of {row.node_name}"
    if row.node is not None:
        return node_context(request, row.node, title)
    return {**admin.site.each_context(request), "title": title}


def _comparison_context(request: HttpRequest, comparison: Comparison, place: Place) -> dict[str, Any]:
    """What the shared part of the pages shows."""
    asked = Filter.of(request.GET)
    rows, cards = entity_page(comparison, asked, request.GET.get("page", "1"))
    words = asked.words()
    return {
        "comparison": comparison,
        "plan": comparison.plan,
        "asked": asked,
        "tiles": [(tile, place.query(tile.query)) for tile in tiles(comparison, asked)],
        "rows": rows,
        "cards": cards,
        "kept": f"{place.query(words)}&" if place.query(words) else "",
        "variables": variable_rows(comparison.plan.variables),
        "general_refusals": comparison.refusals.get("", []),
        "kinds": sorted({change.kind for change in comparison.plan.changes}),
    }


@require_GET
def plan_live(request: HttpRequest, pk: int) -> JsonResponse:
    """How far the run has come."""
    row = sync_or_404(request, pk)
    context = {"sync": row, "progress": progress_of(row)}
    return JsonResponse({"plan-progress": render_to_string("sesam/_plan_progress.html", context, request=request)})


@require_GET
def plan_entity(request: HttpRequest, pk: int) -> HttpResponse:
    """One entity of a sync, `?id=`: as a page, or with `&part=1` as the part of the plan's page that shows it."""
    row = sync_or_404(request, pk)
    comparison, _ = _of_sync(row)
    place = Place.of("sesam_sync_plan", row.pk)
    return _entity(request, comparison, place, {**_node_context(request, row), "sync": row})


def _entity(request: HttpRequest, comparison: Comparison | None, place: Place, context: dict[str, Any]) -> HttpResponse:
    change = comparison.change(request.GET.get("id", "")) if comparison is not None else None
    if comparison is None or change is None:
        raise Http404("There is no such entity in this comparison.")
    context |= {
        "card": card_of(comparison, change, whole=True),
        "comparison": comparison,
        "place": place,
        "back": place.query(Filter.of(request.GET).words()),
    }
    if request.GET.get("part"):
        return TemplateResponse(request, "sesam/_entity_lines.html", context)
    return TemplateResponse(request, "sesam/plan_entity.html", context)


@require_GET
def plan_download(request: HttpRequest, pk: int) -> HttpResponse:
    """The same as `plan --json` prints."""
    row = sync_or_404(request, pk)
    comparison, trouble = _of_sync(row)
    if comparison is None:
        return JsonResponse({"error": trouble or "This run did not come as far as a comparison."}, status=404)
    return _download(plan_json(row, comparison.plan), f"plan-{row.node_name}-{row.run_number or row.pk}.json")


def _download(told: dict[str, Any], name: str) -> HttpResponse:
    try:
        response = JsonResponse(told, json_dumps_params={"indent": 2, "ensure_ascii": False})
    except UnicodeEncodeError:  # half a character, which JSON may hold and nothing can write
        response = JsonResponse(told, json_dumps_params={"indent": 2})
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_GET
def compare_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Two past syncs, two commits, or a commit and what the node last had."""
    nul_refused(request)
    node, _ = node_or_404(request, pk)
    comparison, trouble = _compared(request, node)
    place = _compare_place(request, node)
    context = {
        **node_context(request, node, f"Compare: {node.name}"),
        "place": place,
        "trouble": trouble,
        **_choices(node, request),
    }
    if comparison is not None:
        context |= _comparison_context(request, comparison, place)
    return TemplateResponse(request, "sesam/compare.html", context)


def _compared(request: HttpRequest, node: Node) -> tuple[Comparison | None, str]:
    try:
        return compared(node, request.GET, _user(request)), ""
    except PanelError as error:
        return None, str(error)


def _compare_place(request: HttpRequest, node: Node) -> Place:
    kept = {name: request.GET[name] for name in ("old", "new", "from", "to") if request.GET.get(name)}
    return Place.of("sesam_node_compare", node.pk, urlencode(kept))


def _choices(node: Node, request: HttpRequest) -> dict[str, Any]:
    """Past syncs as values and words, newest first; what the node had before each comes after it.

    `old_usual` is what is older than the one that was chosen.
    """
    found = []
    for row in syncs_comparable(node):
        found.append((str(row.pk), f"{sync_name(row)} {row.commit_subject[:60]}".strip()))
        if row.before_id is not None:
            found.append((f"{row.pk}:{HAD}", f"{sync_name(row, HAD)}: what the node had"))
    chosen = {name: request.GET.get(name, "") for name in ("old", "new", "from", "to")}
    values = [value for value, _ in found]
    older = values[values.index(chosen["new"]) + 1 :] if chosen["new"] in values else values[1:]
    return {"choices": found, "chosen": chosen, "old_usual": chosen["old"] or "".join(older[:1])}


@require_GET
def compare_entity(request: HttpRequest, pk: int) -> HttpResponse:
    """One entity of a comparison."""
    nul_refused(request)
    node, _ = node_or_404(request, pk)
    comparison, _ = _compared(request, node)
    place = _compare_place(request, node)
    return _entity(request, comparison, place, node_context(request, node, f"Compare: {node.name}"))


@require_GET
def compare_download(request: HttpRequest, pk: int) -> HttpResponse:
    """The comparison for machines."""
    nul_refused(request)
    node, _ = node_or_404(request, pk)
    comparison, trouble = _compared(request, node)
    if comparison is None:
        return JsonResponse({"error": trouble or "Nothing was asked."}, status=404)
    told = {"node": node.name, "from": comparison.left, "to": comparison.right}
    told |= comparison.plan.as_json(comparison.missing) | {"problems": list(comparison.problems)}
    return _download(told, f"comparison-{node.name}.json")


def plan_urls() -> list[URLPattern]:
    """What NodeAdmin adds to its addresses."""
    wrap = admin.site.admin_view
    return [
        path("<int:pk>/compare/", wrap(compare_page), name="sesam_node_compare"),
        path("<int:pk>/compare/entity/", wrap(compare_entity), name="sesam_node_compare_entity"),
        path("<int:pk>/compare/json/", wrap(compare_download), name="sesam_node_compare_json"),
    ]


def sync_urls() -> list[URLPattern]:
    """What SyncAdmin adds to its addresses."""
    wrap = admin.site.admin_view
    return [
        path("<int:pk>/plan/", wrap(plan_page), name="sesam_sync_plan"),
        path("<int:pk>/plan/live/", wrap(plan_live), name="sesam_sync_plan_live"),
        path("<int:pk>/plan/entity/", wrap(plan_entity), name="sesam_sync_plan_entity"),
        path("<int:pk>/plan/json/", wrap(plan_download), name="sesam_sync_plan_json"),
    ]
