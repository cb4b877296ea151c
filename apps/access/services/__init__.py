"""Every write of `access`: one file per kind of act, all named here."""

from __future__ import annotations

from apps.access.services.freezes import freeze_change, freeze_create, freeze_end
from apps.access.services.grants import grant_set, grants_on
from apps.access.services.keys import ssh_key_create, ssh_key_generate, ssh_key_replace
from apps.access.services.rotation import RotationReport, secrets_rotate
from apps.access.services.sign_ins import (
    sign_in_succeed,
    sign_in_try,
    sign_ins_blocked,
    sign_ins_prune,
    sign_ins_unblock,
)
from apps.access.services.tokens import api_token_create, api_token_open, api_token_revoke

__all__ = [
    "RotationReport",
    "api_token_create",
    "api_token_open",
    "api_token_revoke",
    "freeze_change",
    "freeze_create",
    "freeze_end",
    "grant_set",
    "grants_on",
    "secrets_rotate",
    "sign_in_succeed",
    "sign_in_try",
    "sign_ins_blocked",
    "sign_ins_prune",
    "sign_ins_unblock",
    "ssh_key_create",
    "ssh_key_generate",
    "ssh_key_replace",
]
