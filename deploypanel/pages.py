"""Small pages that belong to no app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponseRedirect
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.http import require_safe

if TYPE_CHECKING:
    from django.http import HttpRequest


@require_safe
def root(_request: HttpRequest) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:index"))


@require_safe
def favicon(_request: HttpRequest) -> HttpResponseRedirect:
    """Browsers ask for it wherever a page does not name one, a log as text for example."""
    return HttpResponseRedirect(static("deploypanel/favicon.svg"))
