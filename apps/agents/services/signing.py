"""The one key with which this installation signs build scripts."""

from __future__ import annotations

import threading

from django.db import IntegrityError, transaction

from apps.agents.models import SigningKey
from apps.agents.signing import Signer, key_make

ROW = 1
_lock = threading.Lock()
_kept: dict[int, Signer] = {}  # by the time the row was made, so that a restored database is noticed


def signer() -> Signer:
    """Makes the key when there is none yet. Raises DecryptionError when the key ring does not open it."""
    row = SigningKey.objects.filter(pk=ROW).first() or _made()
    mark = int(row.created_at.timestamp() * 1_000_000)
    with _lock:
        if mark not in _kept:
            _kept.clear()
            _kept[mark] = Signer(row.private_key)
        return _kept[mark]


def _made() -> SigningKey:
    try:
        with transaction.atomic():
            return SigningKey.objects.create(pk=ROW, private_key=key_make())
    except IntegrityError:  # another process was quicker
        return SigningKey.objects.get(pk=ROW)
