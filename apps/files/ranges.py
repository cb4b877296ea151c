"""Which part of a file is asked for (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.http import http_date, parse_http_date_safe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*")


@dataclass(frozen=True)
class Version:
    """What a file is known by."""

    sha256: str
    changed: datetime

    @property
    def etag(self) -> str:
        return f'"{self.sha256}"'

    @property
    def last_modified(self) -> str:
        return http_date(self.changed.timestamp())


def is_unchanged(headers: Mapping[str, str], version: Version) -> bool:
    """Whether who asks has it already."""
    if tags := headers.get("If-None-Match"):
        return tags.strip() == "*" or version.etag in {one.strip().removeprefix("W/") for one in tags.split(",")}
    since = parse_http_date_safe(headers.get("If-Modified-Since", ""))
    return since is not None and int(version.changed.timestamp()) <= since


def part_asked(headers: Mapping[str, str], size: int, version: Version) -> tuple[int, int] | None:
    """First byte and length of the part; None: the whole. A length of 0: there is nothing there (416).

    Several parts at once are answered with the whole, as the RFC allows.
    """
    found = _RANGE.fullmatch(headers.get("Range", ""))
    if found is None or not _is_same(headers.get("If-Range", ""), version):
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:  # the last so many bytes
        length = min(int(last), size)
        return size - length, length
    begin = int(first)
    if last and int(last) < begin:
        return None
    return begin, max(0, min(int(last) + 1 if last else size, size) - begin)


def _is_same(condition: str, version: Version) -> bool:
    condition = condition.strip()
    if not condition or condition == version.etag:
        return True
    if condition.startswith(('"', "W/")):
        return False
    return parse_http_date_safe(condition) == int(version.changed.timestamp())
