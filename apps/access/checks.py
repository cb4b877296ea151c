"""Misconfiguration as system checks, found when a command starts and not at night."""

from __future__ import annotations

import stat
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from apps.access import secrets
from apps.access.services.rotation import secret_fields


@checks.register(checks.Tags.security)
def key_ring(**_kwargs: Any) -> list[checks.CheckMessage]:
    """access.E001: no usable key; access.W001: others on this machine can read the keys."""
    try:
        secrets.ring_check()
    except ImproperlyConfigured as error:
        hint = f"Set {secrets.VARIABLE} or {secrets.VARIABLE}_FILE to the keys that this database's secrets have."
        return [checks.Error(str(error), hint=hint, id="access.E001")]
    path = secrets.ring_file()
    try:
        mode = path.stat().st_mode if path else 0
    except OSError:
        mode = 0
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        text = f"{path} holds the keys of every secret and can be read by other users of this machine."
        return [checks.Warning(text, hint=f"chmod 600 {path}", id="access.W001")]
    return []


@checks.register(checks.Tags.models)
def secrets_are_not_looked_up(**_kwargs: Any) -> list[checks.CheckMessage]:
    """access.E002: an index or a uniqueness on a ciphertext, which differs each time it is written."""
    return [
        checks.Error(
            f"{model._meta.label}.{name} is encrypted: it can neither be unique nor indexed.",
            obj=model,
            id="access.E002",
        )
        for model, name in secret_fields()
        if _is_looked_up(model._meta.get_field(name))
    ]


def _is_looked_up(field: Any) -> bool:
    return bool(field.unique or field.db_index or field.primary_key)
