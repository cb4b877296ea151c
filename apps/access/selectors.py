"""Reads that are more than one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import Group, User
from django.db.models import Q, QuerySet

from apps.access.errors import NotFound
from apps.access.levels import Level
from apps.access.models import AuditEntry, BusinessHours, Freeze, Subject
from apps.access.permissions import subjects_visible
from apps.access.spelling import closest

if TYPE_CHECKING:
    from datetime import datetime


def freezes_over(subject: Subject) -> QuerySet[Freeze]:
    """Every freeze that touches this subject, whatever its time: its own, its parent's, the global ones."""
    return Freeze.objects.filter(Q(subject=None) | Q(subject_id=subject.pk) | Q(subject_id=subject.parent_id or -1))


def freezes_on(subject: Subject, at: datetime) -> QuerySet[Freeze]:
    """The freezes that stop this subject at that moment."""
    return freezes_over(subject).filter(_in_force(at))


def freezes_to_come(subject: Subject, at: datetime) -> QuerySet[Freeze]:
    """The freezes that stop this subject at that moment or later."""
    return freezes_over(subject).filter(Q(ends_at=None) | Q(ends_at__gt=at)).order_by("starts_at")


def freezes_visible(user: User, at: datetime | None = None) -> QuerySet[Freeze]:
    """The freezes that this person may see: the global ones and those of visible subjects; `at`: in force then."""
    visible = subjects_visible(user)
    freezes = Freeze.objects.filter(Q(subject=None) | Q(subject__in=visible.values("pk")))
    if not user.is_superuser:
        freezes = freezes.filter(Q(subject__isnull=False) | Q(pk__in=_global_if_any(user)))
    return freezes.filter(_in_force(at)) if at else freezes


def _global_if_any(user: User) -> QuerySet[Freeze]:
    # Who may see nothing at all is not told about global freezes either.
    freezes = Freeze.objects.filter(subject=None)
    return freezes if subjects_visible(user).exists() else freezes.none()


def _in_force(at: datetime) -> Q:
    return Q(starts_at__lte=at) & (Q(ends_at=None) | Q(ends_at__gt=at))


def hours_visible(user: User) -> QuerySet[BusinessHours]:
    """The calendars of visible subjects; all of them for someone who configures any subject, to choose from."""
    if user.is_superuser or subjects_visible(user, least=Level.CONFIGURE).exists():
        return BusinessHours.objects.all()
    return BusinessHours.objects.filter(subjects__in=subjects_visible(user)).distinct()


def audit_visible(user: User) -> QuerySet[AuditEntry]:
    """The trail of the subjects that this person may configure; all of it for a superuser."""
    if user.is_superuser and user.is_active:
        return AuditEntry.objects.all()
    return AuditEntry.objects.filter(subject_id__in=subjects_visible(user, least=Level.CONFIGURE).values("pk"))


def subject_named(path: str, user: User | None = None) -> Subject:
    """The subject of that path that `user` (None: the operator) may see; raises NotFound with the nearest."""
    subjects = Subject.objects.all() if user is None else subjects_visible(user)
    subject = subjects.filter(path=path).order_by("kind").first()
    if subject is None:
        near = closest(path, subjects.values_list("path", flat=True))
        raise NotFound(f"There is no environment, node, trigger or repository called “{path}”{near}")
    return subject


def user_named(name: str) -> User:
    """The person of that name; raises NotFound."""
    user = User.objects.filter(username=name).first()
    if user is None:
        raise NotFound(f"There is no user called “{name}”.")
    return user


def group_named(name: str) -> Group:
    """The group of that name; raises NotFound."""
    group = Group.objects.filter(name=name).first()
    if group is None:
        raise NotFound(f"There is no group called “{name}”.")
    return group
