"""Stopping everyone for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.access import audit
from apps.access.decision import Decision, RuleResult
from apps.access.errors import InputError, Refused
from apps.access.gate import Act, decide
from apps.access.models import Freeze

if TYPE_CHECKING:
    from datetime import datetime

    from apps.access.actor import Actor
    from apps.access.models import Subject


def freeze_create(
    *,
    actor: Actor,
    reason: str,
    subject: Subject | None = None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Freeze:
    """Freezes a subject, or everything. Needs CONFIGURE on the subject; everything: a superuser.

    Raises Refused, or InputError for an end that is not after the start and for a missing reason.
    """
    freeze = Freeze(
        subject_id=subject.pk if subject else None,
        reason=reason.strip(),
        starts_at=starts_at or timezone.now(),
        ends_at=ends_at,
        author=actor.user,
        author_name=actor.name,
    )
    _require(actor, subject, "freeze", _detail(freeze))
    return _checked_save(freeze)


def freeze_change(*, actor: Actor, freeze: Freeze, **changes: Any) -> Freeze:
    """Changes `reason`, `subject`, `starts_at` or `ends_at`; asks for the old subject and for the new one."""
    before = _detail(freeze)
    _require(actor, freeze.subject, "freeze.change", {"before": before, "id": freeze.pk})
    if "subject" in changes and changes["subject"] != freeze.subject:
        _require(actor, changes["subject"], "freeze.change", {"before": before, "id": freeze.pk})
    for name, value in changes.items():
        setattr(freeze, name, value)
    return _checked_save(freeze)


def freeze_end(*, actor: Actor, freeze: Freeze) -> Freeze:
    """Ends it now. One that has not begun ends before it does, as if it had never been (it is deleted)."""
    _require(actor, freeze.subject, "freeze.end", {"id": freeze.pk, **_detail(freeze)})
    now = timezone.now()
    if freeze.starts_at >= now:
        Freeze.objects.filter(pk=freeze.pk).delete()
    elif freeze.ends_at is None or freeze.ends_at > now:
        freeze.ends_at = now
        freeze.save(update_fields=["ends_at"])
    return freeze


def freeze_can_be_changed(actor: Actor, subject: Subject | None) -> bool:
    """Whether this actor may freeze and thaw that subject (None: everything)."""
    return _decision(actor, subject).allowed


def _decision(actor: Actor, subject: Subject | None) -> Decision:
    if subject is not None:
        return decide(actor=actor, act=Act.CONFIGURE, subject=subject)
    allowed = actor.is_trusted or bool(actor.user and actor.user.is_active and actor.user.is_superuser)
    reason = "Administrators may." if allowed else "Only an administrator may freeze everything, or thaw it."
    rule = RuleResult(name="permission", allowed=allowed, reason=reason)
    return Decision(at=timezone.now(), rules=(rule,))


def _require(actor: Actor, subject: Subject | None, action: str, detail: dict[str, Any]) -> None:
    decision = _decision(actor, subject)
    audit.record(
        actor=actor,
        action=action,
        subject=subject,
        allowed=decision.allowed,
        reasons=decision.reasons,
        detail=detail,
    )
    if not decision.allowed:
        raise Refused(decision)


def _checked_save(freeze: Freeze) -> Freeze:
    try:
        freeze.full_clean()
    except ValidationError as error:
        raise InputError(" ".join(error.messages)) from None
    freeze.save()
    return freeze


def _detail(freeze: Freeze) -> dict[str, Any]:
    return {
        "reason": freeze.reason,
        "starts_at": freeze.starts_at.isoformat(),
        "ends_at": freeze.ends_at.isoformat() if freeze.ends_at else None,
    }
