"""Giving and taking rights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group, Permission, User
from django.db import transaction

from apps.access.decision import RuleResult
from apps.access.gate import Act, require
from apps.access.levels import CODENAMES, Level, level_label
from apps.access.models import Subject, SubjectGroupPermission, SubjectUserPermission
from apps.access.permissions import LEVELS, level_of

if TYPE_CHECKING:
    from apps.access.actor import Actor

Holder = User | Group


def grant_set(*, actor: Actor, subject: Subject, holder: Holder, level: Level) -> bool:
    """Makes `level` what `holder` was given on `subject` (NONE takes it away); whether that changed anything.

    The actor must configure the subject, and may neither give nor take more than he holds. Raises Refused.
    """
    before = grants_on(subject).get(holder, Level.NONE)
    if before is level:
        return False
    what = f"{'group' if isinstance(holder, Group) else 'user'} {holder}"
    require(
        actor=actor,
        act=Act.CONFIGURE,
        subject=subject,
        action="grant",
        extra=[_own_rights_rule(actor, subject, max(before, level))],
        detail={"holder": what, "before": level_label(subject.kind, before), "after": level_label(subject.kind, level)},
    )
    with transaction.atomic():
        _store(subject, holder, level)
    return True


def grants_on(subject: Subject) -> dict[Holder, Level]:
    """Who was given what on this subject: people, then groups, each by name."""
    found: dict[Holder, Level] = {}
    for table, field in ((SubjectUserPermission, "user"), (SubjectGroupPermission, "group")):
        rows: Any = table.objects.filter(content_object_id=subject.pk).select_related(field, "permission")
        name = "user__username" if field == "user" else "group__name"
        for row in rows.order_by(name):
            holder, level = getattr(row, field), LEVELS.get(row.permission.codename, Level.NONE)
            found[holder] = max(level, found.get(holder, Level.NONE))
    return found


def _own_rights_rule(actor: Actor, subject: Subject, wanted: Level) -> RuleResult:
    """Nobody gives, or takes away, more than he holds himself."""
    held = Level.CONFIGURE if actor.is_trusted else level_of(actor.user, subject)
    allowed = held >= wanted
    right = level_label(subject.kind, wanted)
    reason = f"{actor.name} holds the right himself." if allowed else f"{actor.name} does not hold “{right}” himself."
    return RuleResult(name="own rights", allowed=allowed, reason=reason)


def _store(subject: Subject, holder: Holder, level: Level) -> None:
    table: Any = SubjectGroupPermission if isinstance(holder, Group) else SubjectUserPermission
    key = {"group" if isinstance(holder, Group) else "user": holder, "content_object_id": subject.pk}
    others = table.objects.filter(**key)
    if level is not Level.NONE:
        permission = Permission.objects.get(
            content_type__app_label="access", content_type__model="subject", codename=CODENAMES[level]
        )
        table.objects.bulk_create([table(**key, permission=permission)], ignore_conflicts=True)
        others = others.exclude(permission=permission)
    others.delete()
