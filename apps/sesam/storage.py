"""Configurations in the database: packed, and kept once however often they are seen."""

from __future__ import annotations

import gc
import hashlib
import json
import zlib
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.access.errors import PanelError
from apps.sesam.configuration import Configuration, Entity
from apps.sesam.json_text import canonical
from apps.sesam.models import Snapshot, StoredConfiguration, Sync
from apps.sesam.recently import Recently

YOUNG = timedelta(hours=1)  # what is this young may be about to be referred to
_BATCH = 100
_REMEMBERED_BYTES = 16 * 1024 * 1024  # before unpacking into values, which take a few times as much
_recent: Recently[Configuration] = Recently(_REMEMBERED_BYTES)


def digest_of(configuration: Configuration) -> str:
    """The same for equal configurations, however their JSON was written."""
    return hashlib.sha256(_text(configuration).encode()).hexdigest()


def configuration_keep(configuration: Configuration) -> StoredConfiguration:
    """The row that holds this configuration; a new one only when there is none."""
    text = _text(configuration).encode()
    digest = hashlib.sha256(text).hexdigest()
    # To touch the row keeps the pruning off it until it is referred to.
    if StoredConfiguration.objects.filter(digest=digest).update(stored_at=timezone.now()):
        return StoredConfiguration.objects.defer("data").get(digest=digest)
    packed = {"data": zlib.compress(text, 6), "size": len(text)}
    stored, _created = StoredConfiguration.objects.get_or_create(digest=digest, defaults=packed)
    return stored


def configuration_of(stored: StoredConfiguration) -> Configuration:
    """What a row holds. It is shared with others who ask: never change it. Raises PanelError when damaged."""
    found = _recent.get(stored.digest)
    if found is None:
        found = _unpacked(stored)
        _recent.put(stored.digest, found, stored.size)
    return found


def configurations_prune() -> int:
    """Remove what nobody refers to any more; returns how many rows."""
    removed = 0
    while batch := _prune_batch():
        removed += batch
    return removed


def _prune_batch() -> int:
    with transaction.atomic():
        # The lock waits for who touches a row just now, and the condition is looked at again then.
        unused = (
            StoredConfiguration.objects.select_for_update()
            .filter(stored_at__lt=timezone.now() - YOUNG)
            .exclude(pk__in=Sync.objects.filter(before__isnull=False).values("before"))
            .exclude(pk__in=Sync.objects.filter(wanted__isnull=False).values("wanted"))
            .exclude(pk__in=Snapshot.objects.values("content"))
            .values_list("pk", flat=True)
        )
        chosen = list(unused[:_BATCH])
        return StoredConfiguration.objects.filter(pk__in=chosen).only("pk").delete()[0] if chosen else 0


def _text(configuration: Configuration) -> str:
    entities = {
        name: {"value": dict(entity.value), "file": entity.file} for name, entity in configuration.entities.items()
    }
    return canonical(
        {
            "entities": entities,
            "variables": None if configuration.variables is None else dict(configuration.variables),
            "secrets": None if configuration.secrets is None else sorted(configuration.secrets),
            "unknown": sorted(configuration.unknown),
        }
    )


def _unpacked(stored: StoredConfiguration) -> Configuration:
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(bytes(stored.data), stored.size + 1)
        if hashlib.sha256(text).hexdigest() != stored.digest:
            raise ValueError
        return _parsed(text)
    except (zlib.error, ValueError, KeyError, TypeError):
        raise PanelError(f"The kept configuration {stored} is damaged and cannot be read.") from None


def _parsed(text: bytes) -> Configuration:
    """Without the garbage collector, which would walk the growing heap again and again: it is five times as fast."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        return _read(json.loads(text))
    finally:
        if was_on:
            gc.enable()


def _read(kept: dict[str, Any]) -> Configuration:
    return Configuration(
        entities={
            name: Entity(id=name, value=entity["value"], file=entity["file"])
            for name, entity in kept["entities"].items()
        },
        variables=kept["variables"],
        secrets=None if kept["secrets"] is None else frozenset(kept["secrets"]),
        unknown=tuple(kept["unknown"]),
    )
