"""Runs wait until hours open. Whoever changes hours, or what they bind, need not wait for the hours as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from apps.access.models import BusinessHours, Subject
from apps.runs.services import runs_ask_again

if TYPE_CHECKING:
    from django.db.models import Model


@receiver(post_save, dispatch_uid="runs.hours_changed")
def ask_again(instance: Model, *, created: bool, raw: bool, **_: Any) -> None:
    """Every door comes by here: forms, declarations, shells."""
    if created or raw:
        return
    if isinstance(instance, BusinessHours):
        runs_ask_again()
    elif isinstance(instance, Subject):
        runs_ask_again(subject_id=instance.pk)
