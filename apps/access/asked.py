"""What a request asks for, as far as databases and numbers can take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import BadRequest
from django.http import Http404
from django.utils.deprecation import MiddlewareMixin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest, QueryDict

DIGITS = 18  # any such number is a 64-bit integer; Python itself refuses to read thousands of them


def nul_refused(request: HttpRequest) -> None:
    """Raise BadRequest, which is answered with status 400, where a field holds a NUL: PostgreSQL takes none."""
    for fields in (request.GET, request.POST):
        if any("\x00" in value for _, values in fields.lists() for value in values):
            raise BadRequest("A field holds a NUL character.")


def numbers_refused(fields: QueryDict, *, but: str = "") -> None:
    """Raise BadRequest where a field is a number that no column can hold; `but` names a field of text."""
    for name, values in fields.lists():
        if name != but and any(_is_beyond(value) for value in values):
            raise BadRequest("A number is too large.")


class RowsBounded(MiddlewareMixin):
    """Middleware: there is no page of a row whose number no row can have, and no database is asked for it."""

    def process_view(self, request: HttpRequest, view: object, args: object, named: Mapping[str, object]) -> None:
        if any(_is_beyond(str(value)) for value in named.values()):
            raise Http404


def _is_beyond(text: str) -> bool:
    return len(text) > DIGITS and text.isascii() and text.isdigit()


def number_of(text: str) -> int | None:
    """The number of a row or a page; None for anything else, also for one that no row could have."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS else None
