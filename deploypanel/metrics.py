"""`GET /metrics` for Prometheus, and who may read it."""

from __future__ import annotations

import hmac
import threading
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from apps.access.address import address_of
from deploypanel.metric_families import exposition

if TYPE_CHECKING:
    from django.http import HttpRequest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FRESH = 3.0  # seconds that an answer is given again: however many ask, the database is not asked more often
# Added by proxies, declared or not: a call that has one of them comes from elsewhere, whatever the connection says.
FORWARDED = ("FORWARDED", "X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_FORWARDED_PROTO", "X_REAL_IP", "VIA")
CLOSED = "Not open to you: see DEPLOYPANEL_METRICS_TOKEN and DEPLOYPANEL_METRICS_ALLOW in docs/operations.md.\n"


@csrf_exempt  # another method is a 405 without a word, also to a POST
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """200 with the text format 0.0.4; 405 for anything but GET, 403 for who may not, 503 without a database."""
    if request.method != "GET":
        return HttpResponse(status=405, headers={"Allow": "GET"})
    if not may_read(request):
        return HttpResponse(CLOSED, status=403, content_type="text/plain; charset=utf-8")
    try:
        return HttpResponse(latest.text(), headers={"Content-Type": CONTENT_TYPE})
    except DatabaseError:
        return HttpResponse("The database does not answer.\n", status=503, content_type="text/plain; charset=utf-8")


def may_read(request: HttpRequest) -> bool:
    """The token opens, and an address that is allowed. Only where neither is set, or no token, this machine does."""
    if token_fits(request.headers.get("Authorization", "")):
        return True
    address = _address(request)
    if address is None:
        return False
    forwarded = any(f"HTTP_{name}" in request.META for name in FORWARDED)
    if forwarded and not settings.BEHIND_PROXY:
        return False  # of a proxy that nobody declared: who asks cannot be told
    if any(address in network for network in settings.METRICS_ALLOW):
        return True
    return address.is_loopback and not forwarded and not settings.METRICS_TOKEN


def token_fits(header: str) -> bool:
    scheme, _, given = header.partition(" ")
    if not settings.METRICS_TOKEN or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(), settings.METRICS_TOKEN.encode())


def _address(request: HttpRequest) -> IPv4Address | IPv6Address | None:
    """Who asks; None when that is no address."""
    try:
        address = ip_address(address_of(request).partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class Latest:
    """The newest answer, computed by one thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text, self._at = b"", float("-inf")

    def text(self) -> bytes:
        with self._lock:
            if time.monotonic() - self._at > FRESH:
                self._text, self._at = exposition(), time.monotonic()
            return self._text

    def forget(self) -> None:
        self._at = float("-inf")


latest = Latest()
