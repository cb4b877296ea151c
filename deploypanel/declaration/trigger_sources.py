"""What fires a trigger, as a file says it: pushes, and the ends of runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from apps.access.errors import InputError
from apps.access.models import Subject
from apps.runs.states import ENDED
from apps.triggers.globs import patterns_checked
from apps.triggers.models import EndSource, PushSource
from deploypanel.declaration.document import Problems, closest
from deploypanel.declaration.fields import Field, named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db import models

    from deploypanel.declaration.document import Value
    from deploypanel.declaration.fields import Names, Objects

# What a run may be of, and in which section it is declared.
OF = {"environment": "environments", "node": "nodes", "repository": "repositories", "trigger": "triggers"}
Row = dict[str, Any]


class Rows(Field):
    """Rows that belong to the object, each a mapping; one alone needs no brackets. All that there are: no others."""

    allowed: tuple[str, ...] = ()

    def parse(self, value: Value, model: type[models.Model], names: Names) -> list[Row]:
        elements = [value] if value.kind == "a mapping" else value.elements(names.problems)
        found = [row for element in elements if (row := self._row(element, names)) is not None]
        return self.order(found)

    def order(self, rows: list[Row]) -> list[Row]:
        """Where their order means nothing, one that is always the same."""
        return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))

    def check(self, plain: Any, value: Value, model: type[models.Model], names: Names) -> None:
        """`read_row` has."""

    def default(self, model: type[models.Model], value: Value, names: Names) -> list[Row]:
        return []

    def current(self, instance: models.Model) -> list[Row]:
        return self.order([row for _, row in self.stored(instance)])

    def assign(self, instance: models.Model, wanted: list[Row], objects: Objects) -> None:
        """Rows that are there already stay as they are."""
        left = list(wanted)
        for found, row in self.stored(instance):
            if row in left:
                left.remove(row)
            else:
                found.delete()
        for row in left:
            self.create(instance, row, objects)

    def show(self, plain: list[Row]) -> str:
        return f"[{', '.join(self.words(row) for row in plain)}]"

    def write(self, instance: models.Model) -> Any:
        return [
            {key: part for key, part in row.items() if part not in ("", [], None)} for row in self.current(instance)
        ]

    def _row(self, value: Value, names: Names) -> Row | None:
        before = len(names.problems.found)
        items = value.items(names.problems)
        for key in items.keys() - set(self.allowed):
            names.problems.add(items[key], f"no such key{closest(key, self.allowed)}")
        if len(names.problems.found) > before:
            return None
        return self.read_row(items, value, names)

    def read_row(self, items: dict[str, Value], value: Value, names: Names) -> Row | None:
        raise NotImplementedError

    def stored(self, instance: models.Model) -> Sequence[tuple[models.Model, Row]]:
        """What belongs to the object now, each also as `read_row` would have read it."""
        raise NotImplementedError

    def create(self, instance: models.Model, row: Row, objects: Objects) -> None:
        raise NotImplementedError

    def words(self, row: Row) -> str:
        """`shop main web/**`"""
        return " ".join(part if isinstance(part, str) else ",".join(part) for part in row.values() if part)


class Pushes(Rows):
    """`{repository: shop, branches: [main], paths: ["web/**"]}`"""

    allowed = ("repository", "branches", "paths")

    def read_row(self, items: dict[str, Value], value: Value, names: Names) -> Row | None:
        if "repository" not in items:
            names.problems.add(value, "repository is missing")
            return None
        repository = named(items["repository"], "repositories", "repository", names)
        return {"repository": repository} | {key: patterns(items.get(key), names) for key in ("branches", "paths")}

    def stored(self, instance: models.Model) -> Sequence[tuple[models.Model, Row]]:
        rows = PushSource.objects.filter(trigger_id=instance.pk).select_related("repository")
        return [(row, _push(row)) for row in rows]

    def create(self, instance: models.Model, row: Row, objects: Objects) -> None:
        repository = objects.named("repositories", row["repository"])
        PushSource.objects.create(trigger_id=instance.pk, **{**row, "repository": repository})


class Ends(Rows):
    """`{run_of: shop/prod, states: [succeeded]}`; `environment:`, `node:` … where two things are called the same."""

    allowed = ("run_of", *OF, "states")

    def read_row(self, items: dict[str, Value], value: Value, names: Names) -> Row | None:
        said = [key for key in ("run_of", *OF) if key in items]
        if len(said) != 1:
            names.problems.add(value, f"say whose run: one of run_of, {', '.join(OF)}")
            return None
        kind = said[0] if said[0] in OF else _kind_of(items[said[0]], names)
        path = named(items[said[0]], OF[kind], kind, names) if kind else None
        return {kind: path, "states": _states(items.get("states"), names)} if kind else None

    def stored(self, instance: models.Model) -> Sequence[tuple[models.Model, Row]]:
        rows = EndSource.objects.filter(trigger_id=instance.pk).select_related("of")
        return [(row, _end(row)) for row in rows]

    def create(self, instance: models.Model, row: Row, objects: Objects) -> None:
        kind = next(key for key in row if key in OF)
        of = Subject.objects.get(pk=objects.named(OF[kind], row[kind]).pk)
        EndSource.objects.create(trigger_id=instance.pk, of=of, states=row["states"])


def patterns(value: Value | None, names: Names) -> list[str]:
    if value is None or value.is_nothing:
        return []
    texts = [element.text(names.problems) or "" for element in value.elements(names.problems)]
    try:
        return patterns_checked(texts)
    except InputError as error:
        names.problems.add(value, str(error))
        return []


def _kind_of(value: Value, names: Names) -> str:
    """Of which kind the thing of this name is; empty, and a problem, where none is or more than one."""
    name = value.text(names.problems)
    if name is None:
        return ""
    found = [kind for kind, section in OF.items() if name in names.known(section)]
    if len(found) == 1:
        return found[0]
    if found:
        names.problems.add(value, f"{' and '.join(found)} are called {name!r}: say which, as in {found[0]}: {name}")
    else:
        near = closest(name, [one for section in OF.values() for one in names.known(section)])
        names.problems.add(value, f"no {', '.join(OF)} is called {name!r}{near}")
    return ""


def _states(value: Value | None, names: Names) -> list[str]:
    if value is None or value.is_nothing:
        return []
    known = [str(state) for state in ENDED]
    found = []
    for element in value.elements(names.problems):
        text = element.text(Problems()) or ""
        if text not in known:
            names.problems.add(element, f"no run ends as {text!r}; there are {', '.join(known)}{closest(text, known)}")
        found.append(text)
    return found


def _push(row: PushSource) -> Row:
    return {"repository": row.repository.name, "branches": row.branches, "paths": row.paths}


def _end(row: EndSource) -> Row:
    return {row.of.kind: row.of.path, "states": row.states}
