"""The rights of a person or group, as a list in the file: `{environment: shop/prod, permission: deploy}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group, User

from apps.access.errors import InputError
from apps.access.levels import CODENAMES, Level, level_label, level_named
from apps.access.models import Subject, SubjectGroupPermission, SubjectUserPermission
from apps.access.services.grants import grant_set
from deploypanel.declaration.document import Value, closest
from deploypanel.declaration.fields import Field, named

if TYPE_CHECKING:
    from django.db import models

    from deploypanel.declaration.fields import Names, Objects

# What a grant may be on, and in which section it is declared.
KINDS = {"environment": "environments", "repository": "repositories", "node": "nodes", "trigger": "triggers"}
_LEVELS = {codename: level for level, codename in CODENAMES.items()}

# A holder's rights: the level's name by kind and path of the subject.
Held = dict[tuple[str, str], str]


class Grants(Field):
    """All rights of the holder: those that the list does not name are taken away."""

    def parse(self, value: Value, model: type[models.Model], names: Names) -> Held:
        held: Held = {}
        for element in value.elements(names.problems):
            grant = _grant(element, names)
            if grant and grant[0] in held:
                names.problems.add(element, f"{grant[0][1]} is granted twice")
            elif grant:
                held[grant[0]] = grant[1]
        return held

    def check(self, plain: Any, value: Value, model: type[models.Model], names: Names) -> None:
        """`parse` has."""

    def default(self, model: type[models.Model], value: Value, names: Names) -> Held:
        return {}

    def current(self, instance: models.Model) -> Held:
        return held_by(instance) if instance.pk else {}

    def assign(self, instance: models.Model, wanted: Held, objects: Objects) -> None:

        assert isinstance(instance, User | Group)
        for kind, path in sorted(self.current(instance).keys() | wanted.keys()):
            level = level_named(kind, wanted[kind, path]) if (kind, path) in wanted else Level.NONE
            if self.current(instance).get((kind, path), "none") != level_label(kind, level):
                subject = objects.named(KINDS[kind], path)
                assert isinstance(subject, Subject)
                grant_set(actor=objects.actor, subject=subject, holder=instance, level=level)

    def show(self, plain: Held) -> str:
        return f"[{', '.join(f'{path}: {label}' for (_, path), label in sorted(plain.items()))}]"

    def write(self, instance: models.Model) -> list[dict[str, str]]:
        return [{kind: path, "permission": label} for (kind, path), label in sorted(self.current(instance).items())]


def held_by(holder: models.Model) -> Held:
    """What the person or group itself holds: rights by way of groups or of being superuser do not count."""
    rows: Any
    if isinstance(holder, User):
        rows = SubjectUserPermission.objects.filter(user=holder)
    else:
        rows = SubjectGroupPermission.objects.filter(group=holder)
    levels: dict[tuple[str, str], Level] = {}
    for kind, path, codename in rows.values_list(
        "content_object__kind", "content_object__path", "permission__codename"
    ):
        if kind in KINDS and codename in _LEVELS:
            levels[kind, path] = max(levels.get((kind, path), Level.NONE), _LEVELS[codename])
    return {(kind, path): level_label(kind, level) for (kind, path), level in levels.items()}


def _grant(value: Value, names: Names) -> tuple[tuple[str, str], str] | None:
    items = value.items(names.problems)
    for key, item in items.items():
        if key not in {*KINDS, "permission"}:
            names.problems.add(item, f"no such key{closest(key, [*KINDS, 'permission'])}")
    kinds = [kind for kind in KINDS if kind in items]
    if len(kinds) != 1 or "permission" not in items:
        names.problems.add(value, "a grant names one environment, repository, node or trigger, and a permission")
        return None
    kind = kinds[0]
    path = named(items[kind], KINDS[kind], kind, names)
    label = items["permission"].text(names.problems)
    try:
        if label is not None:
            level_named(kind, label)
    except InputError as error:
        names.problems.add(items["permission"], str(error))
        return None
    return ((kind, path), label) if path is not None and label is not None else None
