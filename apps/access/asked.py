"""What a request asks for, as far as databases and numbers can take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import BadRequest

if TYPE_CHECKING:
    from django.http import HttpRequest

DIGITS = 18  # any such number is a 64-bit integer; Python itself refuses to read thousands of them


def nul_refused(request: HttpRequest) -> None:
    """Raise BadRequest, which is answered with status 400, where a field holds a NUL: PostgreSQL takes none."""
    for fields in (request.GET, request.POST):
        if any("\x00" in value for _, values in fields.lists() for value in values):
            raise BadRequest("A field holds a NUL character.")


def number_of(text: str) -> int | None:
    """The number of a row or a page; None for anything else, also for one that no row could have."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS else None
