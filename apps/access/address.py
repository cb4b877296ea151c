"""Where a request came from."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from django.http import HttpRequest

# What one customer of a provider can have of IPv6: whoever has that has all addresses in it.
IPV6_PREFIX = 48


def address_of(request: HttpRequest) -> str:
    """The address of the asker: behind our own proxy the last one that it added, which nobody can forge."""
    if getattr(settings, "USE_X_FORWARDED_HOST", False):
        forwarded = str(request.META.get("HTTP_X_FORWARDED_FOR", "")).rpartition(",")[2].strip()
        if forwarded:
            return forwarded
    return str(request.META.get("REMOTE_ADDR", ""))


def network_of(address: str) -> str:
    """Whom to count an address as: an IPv4 address itself, the network that one customer may have of IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("/")[0].strip())
    except ValueError:  # a Unix socket has none, and a proxy may say anything
        return address[:64] or "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), IPV6_PREFIX), strict=False))
