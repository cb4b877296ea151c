"""The buttons of a subject's page: what all of them have in common."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST

from apps.access.asked import nul_refused
from apps.access.errors import InputError, PanelError, Refused
from apps.runs.presentation import subject_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from apps.access.models import Subject
    from apps.runs.models import Run

REASON_LIMIT = 300

S = TypeVar("S", bound="Subject")


def guarded(
    find: Callable[[HttpRequest, int], S],
) -> Callable[[Callable[[HttpRequest, S], HttpResponse]], Callable[[HttpRequest, int], HttpResponse]]:
    """POST only, on a subject that the person sees; the services' refusals become a page, their errors messages.

    `find` answers 404 for what is not there or not to be seen.
    """

    def decorate(view: Callable[[HttpRequest, S], HttpResponse]) -> Callable[[HttpRequest, int], HttpResponse]:
        @require_POST
        @wraps(view)
        def act(request: HttpRequest, pk: int) -> HttpResponse:
            subject = find(request, pk)
            nul_refused(request)
            try:
                return view(request, subject)
            except Refused as refused:
                return _refused(request, subject, refused)
            except PanelError as error:
                messages.error(request, str(error))
                return HttpResponseRedirect(control_url(subject))

        return act

    return decorate


def _refused(request: HttpRequest, subject: Subject, refused: Refused) -> HttpResponse:
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": f"{subject.kind.capitalize()} {subject.path}",
        "subject": subject,
        "back": control_url(subject),
        "decision": refused.decision,
    }
    return TemplateResponse(request, "runs/refused.html", context, status=403)


def control_url(subject: Subject, **query: str) -> str:
    """The address of the page with the buttons; what is empty in `query` is left out."""
    kept = {name: value for name, value in query.items() if value}
    address = subject_page(subject)
    return f"{address}?{urlencode(kept)}" if kept else address


def run_page_or(run: Run | None, otherwise: str) -> HttpResponse:
    """To the page of the run that was asked for; elsewhere when there is none any more."""
    return HttpResponseRedirect(reverse("admin:runs_run_change", args=[run.pk]) if run is not None else otherwise)


def override_of(request: HttpRequest) -> str:
    """The override's reason, only when the button that overrides was the one pressed; raises InputError."""
    if "overriding" not in request.POST:
        return ""
    reason = reason_of(request, "override")
    if not reason:
        raise InputError("say why: an override is recorded with its reason", "override")
    return reason


def reason_of(request: HttpRequest, field: str = "reason") -> str:
    return request.POST.get(field, "").strip()[:REASON_LIMIT]
