"""The sign-in page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


def sign_in(request: HttpRequest) -> HttpResponseBase:
    """The admin's own; answered with status 429 where its form was stopped for too many failures."""
    response: HttpResponseBase = admin.site.login(request)
    form = (getattr(response, "context_data", None) or {}).get("form")
    if seconds := getattr(form, "retry_after", 0):
        response.status_code = 429
        response.headers["Retry-After"] = str(seconds)
    return response
