"""Firings are held until hours open. Whoever changes hours, or what they bind, need not wait for them as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from apps.access.models import BusinessHours
from apps.triggers.models import Trigger
from apps.triggers.services.release import firings_ask_again

if TYPE_CHECKING:
    from django.db.models import Model


@receiver(post_save, dispatch_uid="triggers.hours_changed")
def ask_again(instance: Model, *, created: bool, raw: bool, **_: Any) -> None:
    """Every door comes by here: forms, declarations, shells."""
    if created or raw:
        return
    if isinstance(instance, BusinessHours):
        firings_ask_again()
    elif isinstance(instance, Trigger):
        firings_ask_again(trigger_id=instance.pk)
