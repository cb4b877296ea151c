"""Which origins and which network addresses may be asked.

A name tells nothing of where it leads: what counts is the address that it is resolved to, looked at once, and the
connection is made to just that one (fetcher.py). So no answer of the DNS that changes, no decimal or octal spelling
and no redirect leads anywhere else.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.access.errors import InputError
from apps.files.address import PORTS
from apps.files.errors import FileRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from apps.files.address import Address
    from apps.files.models import CacheSettings

    IP = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAME = r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?"
_ORIGIN = re.compile(rf"(https?://)?({_NAME}|\[[0-9a-f:.]+\])(:\d{{1,5}})?|s3://[A-Za-z0-9._-]+", re.IGNORECASE)
_HOST = re.compile(_NAME, re.IGNORECASE)
# Where clouds answer their own machines, beside the link-local addresses.
_MACHINES_OWN = frozenset(
    ipaddress.ip_address(one) for one in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
)
_NAT64 = tuple(ipaddress.IPv6Network(one) for one in ("64:ff9b::/96", "64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.IPv6Network("::/96")
# Not all releases of Python know these as what they are.
_NOT_GLOBAL = tuple(
    ipaddress.ip_network(one)
    for one in ("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4",
                "100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10", "64:ff9b:1::/48")
)  # fmt: skip


@dataclass(frozen=True)
class Guard:
    """The settings' lists, in force. `allowed` empty: any public origin."""

    allowed: tuple[str, ...] = ()
    private_allowed: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: CacheSettings) -> Guard:
        return cls(
            *(tuple(str(one).lower() for one in names) for names in (settings.allowed, settings.private_allowed))
        )

    def admit(self, address: Address) -> None:
        """Raises FileRefused when this origin is not on the list. Where it leads is another question: `check`."""
        if self.allowed and not any(_fits(entry, address) for entry in self.allowed):
            raise FileRefused(f"{address.origin} is not among the origins that the file cache may ask.")

    def check(self, host: str, found: Iterable[str]) -> None:
        """Raises FileRefused when one of the addresses that `host` was resolved to may not be asked."""
        for one in found:
            ip = ipaddress.ip_address(one.partition("%")[0])
            if not self._may_ask(host, ip):
                what = "" if host.strip("[]") == str(ip) else f" ({ip})"
                raise FileRefused(f"{host}{what} is no public address, and the file cache's settings do not allow it.")

    def _may_ask(self, host: str, ip: IP) -> bool:
        if all(_is_public(one) for one in meanings(ip)):
            return True
        if any(_holds(entry, one) for entry in self.private_allowed for one in meanings(ip)):
            return True
        # A name is allowed for the private hosts behind it, not for what a machine's own secrets can be asked of.
        return any(_is_name(entry, host) for entry in self.private_allowed) and not any(
            _is_own(one) for one in meanings(ip)
        )


def meanings(ip: IP) -> Iterator[IP]:
    """An address, and the IPv4 ones that it is a spelling of or leads to."""
    if not isinstance(ip, ipaddress.IPv6Address):
        yield ip
        return
    inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if any(ip in net for net in _NAT64) or (ip in _COMPATIBLE and int(ip) > 1):
        inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    if ip.ipv4_mapped is None:  # just a spelling: the address is what it spells
        yield ip
    yield from (one for one in inner if one is not None)


def _is_public(ip: IP) -> bool:
    if ip in _MACHINES_OWN or ip.is_multicast or ip.is_reserved or ip.is_unspecified:
        return _is_translated(ip)
    return (ip.is_global and not any(ip in net for net in _NOT_GLOBAL)) or _is_translated(ip)


def _is_translated(ip: IP) -> bool:
    """NAT64's well-known prefix says nothing itself: what it leads to is looked at."""
    return ip in _NAT64[0]


def _is_own(ip: IP) -> bool:
    return ip in _MACHINES_OWN or ip.is_link_local or ip.is_multicast


def _holds(entry: str, ip: IP) -> bool:
    try:
        return ip in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False


def _is_name(entry: str, host: str) -> bool:
    host = host.rstrip(".")
    return host.endswith(entry[1:]) if entry.startswith("*.") else host == entry


def _fits(entry: str, address: Address) -> bool:
    if address.is_s3:
        return entry == f"s3://{address.host.lower()}"
    scheme, found, place = entry.rpartition("://")
    if found and scheme != address.scheme:
        return False
    written = re.search(r":(\d+)$", place)
    if not _is_name(place[: written.start()] if written else place, address.host):
        return False
    if written:
        return address.port == int(written[1])
    return not found or address.port == PORTS[scheme]


def origins_checked(lines: Iterable[str]) -> None:
    """Raises InputError for an entry of `allowed` that can mean nothing."""
    for line in lines:
        if not _ORIGIN.fullmatch(line):
            raise InputError(
                "An origin is https://a.example, https://a.example:8443, *.example.org or s3://bucket.", line
            )


def private_checked(lines: Iterable[str]) -> None:
    """Raises InputError for an entry of `private_allowed` that can mean nothing."""
    for line in lines:
        try:
            ipaddress.ip_network(line.strip("[]"), strict=False)
        except ValueError:
            if not _HOST.fullmatch(line) or re.fullmatch(r"[0-9./]+", line):
                raise InputError("Name an address (10.1.2.3), a network (10.2.0.0/16) or a host.", line) from None
