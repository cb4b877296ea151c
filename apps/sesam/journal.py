"""What a sync has begun to write, kept on its row before each write, so that whoever comes after a kill can undo it.

An entry is `{"what": "secrets|variables|configuration", "state": …, "at": …}`, of secrets also `names` that
the node did not have before, and `overwritten` ones. Its states:

* sent: the write may have reached the node, and has not been confirmed by reading back
* done: confirmed
* undone: put back
* owed: to be put back, which could not be done yet
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.runs.patience import patiently
from apps.sesam.models import Sync

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 15.0  # seconds that the database may be away
OPEN = ("sent", "owed")
ORDER = ("secrets", "variables", "configuration")  # in which they are written; undone the other way round


def journal_write(
    sync: Sync, what: str, *, state: str = "sent", names: Sequence[str] = (), overwritten: Sequence[str] = ()
) -> None:
    """An entry is stored when this returns; only then may the write itself begin."""
    entry: dict[str, Any] = {"what": what, "state": state, "at": timezone.now().isoformat()}
    if names or overwritten:
        entry |= {"names": sorted(names), "overwritten": sorted(overwritten)}
    _keep(sync, [*(old for old in sync.journal if old["what"] != what), entry])


def journal_mark(sync: Sync, state: str, *whats: str) -> None:
    """Every open entry, or those named, is in that state from now on."""
    rows = [dict(entry) for entry in sync.journal]
    for entry in rows:
        if entry["state"] in OPEN and (not whats or entry["what"] in whats):
            entry |= {"state": state, "at": timezone.now().isoformat()}
    _keep(sync, rows)


def journal_drop(sync: Sync, what: str) -> None:
    """The write certainly did nothing: it was refused, or never got there."""
    _keep(sync, [entry for entry in sync.journal if entry["what"] != what])


def journal_store(sync: Sync) -> None:
    """Once more, as it is."""
    _keep(sync, sync.journal)


def journal_open(sync: Sync) -> list[dict[str, Any]]:
    """What may have reached the node and is neither confirmed nor put back, in the order of undoing."""
    entries = [entry for entry in sync.journal if entry["state"] in OPEN]
    return sorted(entries, key=lambda entry: -ORDER.index(entry["what"]))


def _keep(sync: Sync, rows: list[dict[str, Any]]) -> None:
    sync.journal = rows
    patiently(lambda: Sync.objects.filter(pk=sync.pk).update(journal=rows), seconds=PATIENCE)
