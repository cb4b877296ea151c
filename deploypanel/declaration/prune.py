"""Removal of what a declaration does not name, in the sections that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import Group, User
from django.db.models import ProtectedError

from apps.agents.models import Agent
from apps.environments.models import Cluster, Environment, Host
from apps.repos.models import Repository
from apps.runs.models import Run
from apps.runs.states import ACTIVE
from apps.sesam.models import Node
from apps.triggers.models import Trigger
from deploypanel.declaration.changes import Change, Move
from deploypanel.declaration.fields import natural
from deploypanel.declaration.sections import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db import models

    from deploypanel.declaration.apply import Making
    from deploypanel.declaration.reading import Reading
    from deploypanel.declaration.sections import Section


def prune(reading: Reading, making: Making) -> list[str]:
    """Remove, last made first; returns sentences about what was deliberately left.

    What is still in use becomes a problem of the reading.
    """
    kept: list[str] = []
    for section in reversed(SECTIONS):
        if section.name not in reading.lists:
            continue
        for name, instance in making.existing[section.name].items():
            if name in reading.declared[section.name]:
                continue
            if isinstance(instance, User) and instance.is_superuser:
                kept.append(f"kept user {name}: superusers are never pruned")
            elif section.single:
                kept.append(f"kept {section.noun} {name}: they are never pruned")
            else:
                _remove(section, name, instance, reading, making)
    return kept


def _remove(section: Section, name: str, instance: models.Model, reading: Reading, making: Making) -> None:
    users = in_use(instance)
    if not users:
        try:
            instance.delete()
        except ProtectedError as error:
            users = [natural(one) if hasattr(one, "name") else str(one) for one in error.protected_objects]
    if users:
        some = ", ".join(users[:3]) + (f" and {len(users) - 3} more" if len(users) > 3 else "")
        place = reading.places[section.name]
        reading.problems.add(place, f"the {section.noun} {name!r} is not in the file but still in use by {some}")
    else:
        making.removed(Change(section.name, section.noun, name, Move.REMOVED))


def in_use(instance: models.Model) -> list[str]:
    """Who needs the object, where the database itself would let it go without a word."""
    match instance:
        case Cluster():
            return _paths(instance.environments.all()) + _triggers(actions__cluster=instance)
        case Host():
            clusters = [f"cluster {cluster}" for cluster in instance.clusters.all()]
            return clusters + _triggers(actions__hosts=instance)
        case Repository() | Node() | Environment() | Trigger():
            return _needing(instance) + _triggers(end_sources__of=instance.subject) + _running(instance)
        case Agent():
            return _triggers(agents=instance) + [f"run {order.run}" for order in instance.orders.filter(open=True)]
        case Group():
            return [f"user {user}" for user in instance.user_set.all()]
        case User():
            return [f"repository {repository} (an owner)" for repository in instance.owned_repositories.all()]
    return []


def _needing(subject: Repository | Node | Environment | Trigger) -> list[str]:
    match subject:
        case Repository():
            return _paths(subject.environments.all()) + _triggers(push_sources__repository=subject)
        case Node():
            return [f"extra node {extra}" for extra in subject.extras.all()] + _triggers(actions__node=subject)
        case Environment():
            return _triggers(actions__environment=subject)
    return []


def _triggers(**condition: models.Model) -> list[str]:
    """The triggers of which that is so."""
    names = Trigger.objects.filter(**condition).order_by("name").values_list("name", flat=True)
    return [f"trigger {name}" for name in names.distinct()]


def _paths(environments: Iterable[Environment]) -> list[str]:
    return [f"environment {environment}" for environment in environments]


def _running(subject: Repository | Environment | Node | Trigger) -> list[str]:
    return [f"run {run}" for run in Run.objects.filter(subject=subject.subject, state__in=ACTIVE)]
