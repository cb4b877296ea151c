"""Secrets at rest: encryption with a key ring that can be rotated."""

from __future__ import annotations

from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from apps.access.errors import DecryptionError


@lru_cache(maxsize=4)
def _ring(keys: str) -> MultiFernet:
    parts = keys.replace(",", "\n").split()
    try:
        return MultiFernet([Fernet(part) for part in parts])
    except ValueError:
        raise ImproperlyConfigured(
            "DEPLOYPANEL_KEY_RING: each key must be 32 bytes in URL-safe base64 (manage.py secrets_rotate makes one)."
        ) from None


def encrypt(plain: str) -> str:
    """`plain` as a token of the ring's first key."""
    return _ring(settings.KEY_RING).encrypt(plain.encode()).decode()


def decrypt(token: str) -> str:
    """The text in `token`; raises DecryptionError when no key of the ring opens it."""
    try:
        return _ring(settings.KEY_RING).decrypt(token.encode()).decode()
    except InvalidToken:
        raise DecryptionError(
            "A stored secret cannot be read with this installation's key ring. "
            "Put the key it was written with back into DEPLOYPANEL_KEY_RING; nothing was changed."
        ) from None


def rotate(token: str) -> str:
    """The same secret as a token of the ring's first key; raises DecryptionError."""
    try:
        return _ring(settings.KEY_RING).rotate(token.encode()).decode()
    except InvalidToken:
        raise DecryptionError("A stored secret cannot be read with this installation's key ring.") from None
