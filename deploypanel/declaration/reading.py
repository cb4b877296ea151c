"""A document as entries of sections: everything that can be said about it without changing the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploypanel.declaration.document import Problems, Value, closest
from deploypanel.declaration.fields import KEPT, Secret
from deploypanel.declaration.sections import BY_NAME, SECTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from django.db import models

    from deploypanel.declaration.fields import Field
    from deploypanel.declaration.sections import Section


@dataclass
class Entry:
    """One object as the file wants it: `wanted` by the keys of its fields, `places` to point at what is wrong."""

    section: Section
    name: str
    value: Value
    existing: models.Model | None
    places: dict[str, Value]
    wanted: dict[str, Any] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)  # keys of fields that could not be read

    def place(self, attribute: str) -> Value:
        """Where the file says this attribute of the model, or where the entry is."""
        for one in self.section.fields:
            if one.name == attribute:
                return next((self.places[key] for key in one.keys if key in self.places), self.value)
        return self.value


class Reading:
    """Reads a document. Afterwards `entries` has what was understood and `problems` the rest."""

    def __init__(self, root: Value, folder: Path, *, prune: bool) -> None:
        self.problems = Problems()
        self.folder = folder
        self.prune = prune
        self.existing = {section.name: section.existing() for section in SECTIONS}
        self.places: dict[str, Value] = {}  # of the sections
        self.lists = self._lists(root)
        self.declared = {name: self._names(BY_NAME[name], values) for name, values in self.lists.items()}
        self.entries = [
            entry
            for section in SECTIONS
            if section.name in self.lists
            for entry in self._entries(section, self.lists[section.name])
        ]

    def known(self, section: str) -> set[str]:
        """The names there will be once the file has been applied."""
        declared = set(self.declared.get(section, ()))
        return declared if self.prune and section in self.lists else declared | set(self.existing[section])

    def _lists(self, root: Value) -> dict[str, list[Value]]:
        found: dict[str, list[Value]] = {}
        for key, value in root.items(self.problems).items():
            if key not in BY_NAME:
                self.problems.add(value, f"there is no such section{closest(key, BY_NAME)}")
            else:
                self.places[key] = value
                alone = BY_NAME[key].single
                found[key] = [] if value.is_nothing else [value] if alone else value.elements(self.problems)
        return found

    def _names(self, section: Section, values: list[Value]) -> dict[str, Value]:
        """What the section declares, by name. Entries without a name are reported when they are read."""
        names: dict[str, Value] = {}
        for value in values:
            name = _name(section, value.items(Problems()))
            if name is None:
                continue
            if name in names:
                self.problems.add(value, f"a {section.noun} called {name!r} is on line {names[name].line} already")
            names.setdefault(name, value)
        return names

    def _entries(self, section: Section, values: list[Value]) -> list[Entry]:
        return [entry for value in values if (entry := self._entry(section, value)) is not None]

    def _entry(self, section: Section, value: Value) -> Entry | None:
        places = value.items(self.problems)
        name = _name(section, places)
        existing = self.existing[section.name].get(name) if name is not None else None
        entry = Entry(section, name or "", value, existing, places)
        for key in places:
            if section.field_of(key) is None:
                self.problems.add(places[key], f"no such key in {section.name}{closest(key, section.keys)}")
        for one in section.fields:
            if any(key in places for key in one.keys):
                self._read(one, entry)
            elif one.key in section.identity or (one.required and existing is None):
                self._missing(one, entry)
        # Without a name nobody can say which object is meant, nor compare it with another.
        return entry if name is not None and self.declared[section.name].get(name) is value else None

    def _read(self, one: Field, entry: Entry) -> None:
        before = len(self.problems.found)
        plain = one.read(entry.places, entry.section.model, self)
        if plain == KEPT and isinstance(one, Secret) and entry.existing is None:
            self.problems.add(
                entry.place(one.name),
                f"there is nothing to keep: no {entry.section.noun} of this name exists. "
                f"Give {one.key} or {one.key}_file",
            )
        if len(self.problems.found) > before:
            entry.broken.add(one.key)
        else:
            entry.wanted[one.key] = plain

    def _missing(self, one: Field, entry: Entry) -> None:
        if isinstance(entry.value.node.value, list) and entry.value.kind == "a mapping":
            self.problems.add(entry.value, f"{' or '.join(one.keys)} is missing")
        entry.broken.add(one.key)


def _name(section: Section, places: dict[str, Value]) -> str | None:
    """`shop/prod` for an environment, the name for all others; None where a part of it is missing."""
    if section.single:
        return section.single
    parts = [places[key].text(Problems()) or None if key in places else None for key in section.identity]
    return None if None in parts else "/".join(str(part) for part in parts)
