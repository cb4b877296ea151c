"""The page of a master's extra nodes: which replicas there are, from which template, and what found nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.template.response import TemplateResponse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from apps.access.asked import nul_refused
from apps.access.errors import PanelError
from apps.sesam.extras_reads import KINDS, expanded_read, placed_matching
from apps.sesam.views import node_context, node_or_404

if TYPE_CHECKING:
    from django.http import HttpRequest

PAGE = 50
SHOWN = 200  # placeholders and problems
FILTERS = ("extra", "kind", "side", "text")


@require_GET
def extras(request: HttpRequest, pk: int) -> TemplateResponse:
    """`?extra=&kind=&side=&text=&page=` filter and page the replicas."""
    node, _ = node_or_404(request, pk)
    nul_refused(request)
    asked = {name: request.GET.get(name, "").strip()[:200] for name in FILTERS}
    context: dict[str, Any] = {
        **node_context(request, node, f"Extra nodes of {node.name}"),
        "asked": asked,
        "kinds": KINDS,
        "kept": urlencode({name: value for name, value in asked.items() if value} | {"": ""}).removesuffix("="),
    }
    try:
        found = expanded_read(node)
    except PanelError as error:
        return TemplateResponse(request, "sesam/extras.html", context | {"trouble": str(error)})
    rows = Paginator(placed_matching(found.placed, **asked), PAGE).get_page(request.GET.get("page", "1"))
    context |= {
        "found": found,
        "rows": rows,
        "unfound": found.unfound[:SHOWN],
        "problems": found.problems[:SHOWN],
    }
    return TemplateResponse(request, "sesam/extras.html", context)
