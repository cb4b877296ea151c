"""Sizes as people write them: “20 GB” for 20 × 1024³ bytes."""

from __future__ import annotations

import re

from apps.access.errors import InputError

UNITS = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
MOST = 1024**5  # bytes
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,3})?)\s*([KMGT]?)(?:I?B)?", re.IGNORECASE)


def size_read(text: str) -> int:
    """Bytes. Raises InputError."""
    found = _SIZE.fullmatch(text.strip())
    size = round(float(found[1]) * UNITS[f"{found[2].upper()}B"]) if found else 0
    if not 0 < size <= MOST:
        raise InputError("Write a size such as 500 MB or 20 GB, 1024 TB at most.")
    return size


def size_exact(size: int) -> str:
    """In the largest unit that says it exactly, as it can be read again."""
    unit = next(unit for unit in reversed(UNITS) if size % UNITS[unit] == 0)
    return f"{size // UNITS[unit]} {unit}" if size else "0 B"


def size_shown(size: int) -> str:
    """“3.4 GB”: two or three figures, for people."""
    unit = next((unit for unit in reversed(UNITS) if size >= UNITS[unit]), "B")
    value = size / UNITS[unit]
    return f"{value:.1f} {unit}" if value < 100 and unit != "B" else f"{value:.0f} {unit}"
