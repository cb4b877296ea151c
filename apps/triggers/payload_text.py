"""A payload as people type it."""

from __future__ import annotations

import json
from typing import Any

from apps.access.errors import InputError

LONGEST = 64 * 1024  # characters; what is stored is measured by the service


def payload_read(text: str) -> Any:
    """The JSON value, None for nothing at all; raises InputError that says where it cannot be read."""
    if not text.strip():
        return None
    if len(text) > LONGEST:
        raise InputError(f"it has {len(text):,} characters; a payload has at most 64 KiB", "payload")
    try:
        return json.loads(text, parse_constant=_refused)
    except json.JSONDecodeError as error:
        raise InputError(f"line {error.lineno}, column {error.colno}: {error.msg}", "payload") from None
    except ValueError as error:  # a constant, or a number with thousands of digits
        raise InputError(str(error), "payload") from None
    except RecursionError:
        raise InputError("it lies within itself too deeply", "payload") from None


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
