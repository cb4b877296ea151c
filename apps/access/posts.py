"""Buttons of pages of things that are no subjects, or whose refusals need no page of their own."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, TypeVar

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.http import require_POST

from apps.access.asked import nul_refused
from apps.access.errors import PanelError, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def posted(
    find: Callable[[HttpRequest, int], T], page_url: Callable[[T], str]
) -> Callable[[Callable[[HttpRequest, T], HttpResponse]], Callable[[HttpRequest, int], HttpResponse]]:
    """POST only, on what `find` answers; what a service refuses becomes a message on its page."""

    def decorate(view: Callable[[HttpRequest, T], HttpResponse]) -> Callable[[HttpRequest, int], HttpResponse]:
        @require_POST
        @wraps(view)
        def act(request: HttpRequest, pk: int) -> HttpResponse:
            found = find(request, pk)
            nul_refused(request)
            try:
                return view(request, found)
            except Refused as refused:
                messages.error(request, f"Refused. {refused}")
            except PanelError as error:
                messages.error(request, str(error))
            return HttpResponseRedirect(page_url(found))

        return act

    return decorate
