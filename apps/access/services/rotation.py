"""Re-encrypting every stored secret with the newest key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import transaction

from apps.access import audit, secrets
from apps.access.errors import DecryptionError
from apps.access.fields import EncryptedTextField, Sealed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Model

    from apps.access.actor import Actor

BATCH = 100


@dataclass
class RotationReport:
    """What became of the stored secrets, by field (`repos.Repository.access_token`)."""

    rotated: dict[str, int] = field(default_factory=dict)
    current: dict[str, int] = field(default_factory=dict)  # were written with the newest key already
    unreadable: list[str] = field(default_factory=list)


def secrets_rotate(*, actor: Actor, dry_run: bool = False) -> RotationReport:
    """Writes every secret anew with the ring's first key, in small batches; safe to stop and to repeat.

    A secret that no key opens is left as it is and reported. One that changes meanwhile is left too:
    whoever changed it wrote it with a present key.
    """
    report = RotationReport()
    for model, name in secret_fields():
        label = f"{model._meta.label}.{name}"
        report.rotated[label] = report.current[label] = 0
        for batch in _batches(model, name):
            _rotate_batch(model, name, batch, report, dry_run=dry_run)
    if not dry_run:
        counts = {label: count for label, count in report.rotated.items() if count}
        audit.record(actor=actor, action="secrets.rotate", detail={"rotated": counts, "unreadable": report.unreadable})
    return report


def secret_fields() -> list[tuple[type[Model], str]]:
    """Every encrypted field of every model, where it is stored."""
    return [
        (model, column.name)
        for model in apps.get_models()
        for column in model._meta.local_fields
        if isinstance(column, EncryptedTextField)
    ]


def _batches(model: type[Model], name: str) -> Iterator[list[tuple[Any, Sealed]]]:
    last: Any = None
    rows = model._default_manager.exclude(**{name: ""}).order_by("pk").values_list("pk", name)
    while batch := list((rows if last is None else rows.filter(pk__gt=last))[:BATCH]):
        yield batch
        last = batch[-1][0]


def _rotate_batch(
    model: type[Model], name: str, batch: list[tuple[Any, Sealed]], report: RotationReport, *, dry_run: bool
) -> None:
    label = f"{model._meta.label}.{name}"
    changes: list[tuple[Any, Sealed, Sealed]] = []
    for pk, sealed in batch:
        if secrets.is_newest(sealed.token):
            report.current[label] += 1
            continue
        try:
            changes.append((pk, sealed, Sealed(secrets.rotate(sealed.token))))
        except DecryptionError:
            report.unreadable.append(f"{model._meta.verbose_name} #{pk}, {name}")
    if dry_run:
        report.rotated[label] += len(changes)
        return
    with transaction.atomic():
        for pk, before, after in changes:
            report.rotated[label] += model._default_manager.filter(pk=pk, **{name: before}).update(**{name: after})
