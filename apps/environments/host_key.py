"""A host's pinned public key: one line, read and named by its fingerprint. No network."""

from __future__ import annotations

from apps.access.errors import InputError
from apps.repos.host_keys import HostKey, host_keys_parse


def host_key_parse(text: str) -> HostKey:
    """The one key in `text`; raises InputError for none, for several, and for one that is cut."""
    keys = host_keys_parse(text)
    if len(keys) != 1:
        raise InputError(
            f"one public key is pinned, not {len(keys)}: give the line that begins with “ssh-ed25519”"
            if keys
            else "no public host key; it looks like “ssh-ed25519 AAAA…”"
        )
    return keys[0]


def fingerprint_or_nothing(text: str) -> str:
    """`SHA256:…` of a pinned key, empty where nothing usable is pinned."""
    try:
        return host_key_parse(text).fingerprint
    except InputError:
        return ""
