"""Secrets at rest: encryption with a key ring that can be rotated.

The ring is `settings.KEY_RING`, newest key first. Where it comes from a file, a token that no key of
this process opens is tried again with what the file holds now, so that processes which run while
the ring is rotated go on working.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from apps.access.errors import DecryptionError, InputError

VARIABLE = "DEPLOYPANEL_KEY_RING"


def keys_of(ring: str) -> list[str]:
    """The keys in a ring's text: one a line, or separated by commas."""
    return ring.replace(",", "\n").split()


@lru_cache(maxsize=4)
def _ring(keys: str) -> MultiFernet:
    try:
        return MultiFernet([Fernet(part) for part in keys_of(keys)])
    except ValueError:
        raise ImproperlyConfigured(
            f"{VARIABLE}: each key must be 32 bytes in URL-safe base64 (manage.py secrets_rotate --new-key makes one)."
        ) from None


def encrypt(plain: str) -> str:
    """`plain` as a token of the ring's first key."""
    return _ring(settings.KEY_RING).encrypt(plain.encode()).decode()


def decrypt(token: str) -> str:
    """The text in `token`; raises DecryptionError when no key of the ring opens it."""
    for ring in _rings():
        try:
            return ring.decrypt(token.encode()).decode()
        except InvalidToken:
            continue
    raise DecryptionError(
        "This secret cannot be read with the installation's key ring. "
        f"Put the key it was written with back into {VARIABLE}; nothing was changed."
    )


def rotate(token: str) -> str:
    """The same secret as a token of the ring's first key; raises DecryptionError."""
    return encrypt(decrypt(token))


def is_newest(token: str) -> bool:
    """Whether the ring's first key opens it: then rotating has nothing to do."""
    try:
        Fernet(keys_of(settings.KEY_RING)[0]).decrypt(token.encode())
    except InvalidToken:
        return False
    return True


def ring_check() -> None:
    """Raises ImproperlyConfigured when the ring has no usable key."""
    if not keys_of(settings.KEY_RING):
        raise ImproperlyConfigured(f"{VARIABLE} is empty.")
    _ring(settings.KEY_RING)


def ring_file() -> Path | None:
    """The file that the ring comes from; None when it is in the environment itself."""
    named = os.environ.get(f"{VARIABLE}_FILE")
    if named:
        return Path(named)
    return None if os.environ.get(VARIABLE) else Path(settings.DATA_DIR) / "key_ring"


def ring_write(keys: list[str]) -> Path:
    """Puts these keys into the ring's file in one step, for this process too; raises InputError when it has none."""
    path = ring_file()
    if path is None:
        raise InputError(f"The key ring is in {VARIABLE} itself; put the new key in front of it there.")
    beside = path.with_name(f"{path.name}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write("\n".join(keys) + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    settings.KEY_RING = "\n".join(keys)
    return path


def ring_text_fresh() -> str:
    """What the ring's file holds now; empty when there is none."""
    path = ring_file()
    try:
        return path.read_text(encoding="utf-8").strip() if path else ""
    except OSError:
        return ""


def _rings() -> list[MultiFernet]:
    rings = [_ring(settings.KEY_RING)]
    fresh = ring_text_fresh()
    if keys_of(fresh) and keys_of(fresh) != keys_of(settings.KEY_RING):
        rings.append(_ring(fresh))
    return rings
