"""The body of a call, up to a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import RequestDataTooBig

from apps.triggers.errors import TooLarge, Unreadable

if TYPE_CHECKING:
    from django.http import HttpRequest

MB = 1024 * 1024


def body_of(request: HttpRequest, limit: int) -> bytes:
    """What was sent, at most `limit` bytes. Raises TooLarge, Unreadable."""
    size = f"{limit // MB} MB" if limit >= MB else f"{limit // 1024} KB"
    too_large = TooLarge(f"The body is larger than {size}.")
    try:
        if int(request.headers.get("Content-Length") or 0) > limit:
            raise too_large
        body = request.body
    except RequestDataTooBig:
        raise too_large from None
    except (ValueError, OSError):
        raise Unreadable("The body did not arrive whole.") from None
    if len(body) > limit:
        raise too_large
    return body
