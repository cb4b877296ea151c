"""The one policy: how much a person may do with a subject, read from guardian's direct tables.

A grant is one stored permission, the highest level; the lower ones follow from it. Seeing any
environment of a repository implies seeing the repository. Everything that shows or does something
asks here, or asks the gate, which asks here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from apps.access.levels import CODENAMES, Level
from apps.access.models import Subject, SubjectGroupPermission, SubjectUserPermission

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.contrib.auth.models import AnonymousUser

LEVELS = {codename: level for level, codename in CODENAMES.items()}
# Above this many subjects all grants of the person are read instead of a list of ids being sent.
MANY = 500


def is_person(user: User | AnonymousUser | None) -> bool:
    """Whether there is someone to ask about: signed in and not switched off."""
    return isinstance(user, User) and user.is_active and user.pk is not None


def level_of(user: User | AnonymousUser | None, subject: Subject) -> Level:
    """What this person may do with this subject at most."""
    return levels_of(user, [subject])[subject.pk]


def levels_of(user: User | AnonymousUser | None, subjects: Iterable[Subject]) -> dict[int, Level]:
    """The same for many subjects by their ids, in two queries whatever their number."""
    ids = [subject.pk for subject in subjects]
    if not isinstance(user, User) or not is_person(user):
        return dict.fromkeys(ids, Level.NONE)
    if user.is_superuser:
        return dict.fromkeys(ids, Level.CONFIGURE)
    return granted_levels(user, ids, implied=True)


def granted_levels(user: User, ids: list[int], *, implied: bool = False) -> dict[int, Level]:
    """What was given to this person or to a group of theirs, without a superuser's own right.

    `implied` adds the sight of what lies above a visible subject.
    """
    levels = dict.fromkeys(ids, Level.NONE)
    for subject_id, parent_id, level in _grants(user, ids, implied=implied):
        if subject_id in levels:
            levels[subject_id] = max(levels[subject_id], level)
        if implied and parent_id in levels:
            levels[parent_id] = max(levels[parent_id], Level.VIEW)
    return levels


def _grants(user: User, ids: list[int], *, implied: bool) -> Iterator[tuple[int, int | None, Level]]:
    wanted = Q()
    if len(ids) <= MANY:
        wanted = Q(content_object_id__in=ids)
        if implied:
            wanted |= Q(content_object__parent_id__in=ids)
    columns = ("content_object_id", "content_object__parent_id", "permission__codename")
    own = SubjectUserPermission.objects.filter(wanted, user=user).values_list(*columns)
    shared = SubjectGroupPermission.objects.filter(wanted, group__user=user).values_list(*columns)
    for rows in (own, shared):
        for subject_id, parent_id, codename in rows:
            if codename in LEVELS:
                yield subject_id, parent_id, LEVELS[codename]


def subjects_visible(user: User | AnonymousUser | None, kind: str = "", least: Level = Level.VIEW) -> QuerySet[Subject]:
    """The subjects (of one kind, or of all) on which this person holds at least that level, as one query."""
    subjects = Subject.objects.filter(kind=kind) if kind else Subject.objects.all()
    if not isinstance(user, User) or not is_person(user):
        return subjects.none()
    if user.is_superuser:
        return subjects
    return subjects.filter(granted_condition(user, least))


def granted_condition(user: User, least: Level) -> Q:
    """A condition on Subject: this person was given at least that level."""
    codenames = [codename for level, codename in CODENAMES.items() if level >= least]
    own = SubjectUserPermission.objects.filter(user=user, permission__codename__in=codenames)
    shared = SubjectGroupPermission.objects.filter(group__user=user, permission__codename__in=codenames)
    condition = Q(pk__in=own.values("content_object_id")) | Q(pk__in=shared.values("content_object_id"))
    if least is Level.VIEW:
        condition |= Q(pk__in=own.values("content_object__parent_id"))
        condition |= Q(pk__in=shared.values("content_object__parent_id"))
    return condition
