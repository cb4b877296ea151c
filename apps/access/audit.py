"""The trail of acts: one row each, only ever added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.access.models import AuditEntry, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.access.actor import Actor


def record(
    *,
    actor: Actor,
    action: str,
    subject: Subject | None = None,
    allowed: bool = True,
    reasons: Sequence[str] = (),
    detail: dict[str, Any] | None = None,
) -> AuditEntry:
    """Adds one row, in the caller's transaction if there is one. `detail` never holds a secret."""
    return AuditEntry.objects.create(
        actor_id=actor.user.pk if actor.user else None,
        actor=actor.name[:150],
        behind=actor.behind[:150],
        door=actor.door,
        address=actor.address[:64],
        action=action[:60],
        subject_id=subject.pk if subject else None,
        subject=subject.path if subject else "",
        allowed=allowed,
        reasons=list(reasons),
        detail=detail or {},
    )
