"""A text field that is encrypted at rest."""

from __future__ import annotations

from typing import Any

from django.db import models

from apps.access.secrets import decrypt, encrypt


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]  # generic only in the stubs
    """Text kept as a Fernet token of the installation's key ring.

    Reading with a ring that lacks the key raises DecryptionError and never yields the token, so that
    saving the row again cannot destroy the secret. Empty text stays empty and readable as "not set".
    """

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        return decrypt(value) if value else value

    def get_prep_value(self, value: Any) -> Any:
        return encrypt(str(value)) if value else value
