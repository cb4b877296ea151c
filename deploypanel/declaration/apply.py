"""Makes the database match a declaration: all of it or nothing, in one transaction."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from django.core.exceptions import NON_FIELD_ERRORS, ObjectDoesNotExist, ValidationError
from django.db import transaction

from apps.access import audit
from apps.access.models import Subject
from deploypanel.declaration.changes import Change, FieldChange, Move, Outcome
from deploypanel.declaration.document import DeclarationError, parse
from deploypanel.declaration.fields import Missing, References, Secret
from deploypanel.declaration.grants import Grants
from deploypanel.declaration.prune import prune
from deploypanel.declaration.reading import Reading
from deploypanel.declaration.sections import BY_NAME, SECTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from django.db import models

    from apps.access.actor import Actor
    from deploypanel.declaration.fields import Field
    from deploypanel.declaration.reading import Entry

VERBS = {Move.CREATED: "add", Move.CHANGED: "change", Move.REMOVED: "delete"}


def declaration_apply(
    *, data: bytes, file: str, folder: Path, actor: Actor, dry_run: bool = False, remove: bool = False
) -> Outcome:
    """Apply the YAML in `data`; `file` is its name in messages, `folder` where relative file names are meant from.

    With `remove`, what the file's sections do not name is removed. Raises DeclarationError with
    everything that is wrong; then, as in a dry run, nothing has changed.
    """
    # Files are read and passwords hashed here, before the transaction: it holds the only write lock there is.
    reading = Reading(parse(data, file), folder, prune=remove)
    with transaction.atomic():
        making = Making(reading, actor)
        making.make()
        kept = prune(reading, making) if remove and not reading.problems else []
        outcome = Outcome(making.changes(), kept, dry_run)
        if reading.problems or dry_run:
            transaction.set_rollback(True)
        else:
            _record(outcome, making, actor)
    if reading.problems:
        raise DeclarationError(file, reading.problems.found)
    return outcome


class Making:
    """Makes the entries of a reading, in their order, and remembers what it made and what changed."""

    def __init__(self, reading: Reading, actor: Actor) -> None:
        self.reading = reading
        self.actor = actor
        # Read again, inside the transaction: reading the file may have taken a while.
        self.existing = {section.name: section.existing() for section in SECTIONS}
        self.made: dict[tuple[str, str], models.Model] = {}
        self._changes: dict[tuple[str, str], Change] = {}

    def make(self) -> None:
        """Everything, and then what could refer to something later in the order."""
        for entry in self.reading.entries:
            with suppress(Missing):
                self._make(entry)
        for entry in self.reading.entries:
            if (entry.section.name, entry.name) in self.made:
                with suppress(Missing):
                    self._make_late(entry)

    def named(self, section: str, name: str) -> models.Model:
        found = self.made.get((section, name))
        if found is None and name not in self.reading.declared.get(section, ()):
            found = self.existing[section].get(name)
        if found is None:
            raise Missing(section, name)
        return found

    def changes(self) -> list[Change]:
        return list(self._changes.values())

    def removed(self, change: Change) -> None:
        self._changes[change.section, change.name] = change

    def _make(self, entry: Entry) -> None:
        existing = self.existing[entry.section.name].get(entry.name)
        created = existing is None
        instance = existing or entry.section.model()
        changed = []
        for one in _fields(entry, late=False):
            if created or one.differs(instance, entry.wanted[one.key]):
                changed.append(self._difference(one, instance, entry))
                if not isinstance(one, References):
                    one.assign(instance, entry.wanted[one.key], self)
        for one in entry.section.fields:
            if created and one.key not in entry.wanted:
                one.absent(instance)
        if (changed or created or entry.broken) and not self._is_sound(instance, entry):
            return
        if changed:
            _save(instance)
            self._set_many(instance, entry, [change.key for change in changed])
            self._remember(entry, Move.CREATED if created else Move.CHANGED, changed)
        self.made[entry.section.name, entry.name] = instance

    def _make_late(self, entry: Entry) -> None:
        instance = self.made[entry.section.name, entry.name]
        changed = []
        for one in _fields(entry, late=True):
            if one.differs(instance, entry.wanted[one.key]):
                changed.append(self._difference(one, instance, entry))
                one.assign(instance, entry.wanted[one.key], self)
        if any(not isinstance(one, Grants) for one in _fields(entry, late=True) if one.key in {c.key for c in changed}):
            if not self._is_sound(instance, entry):
                return
            _save(instance)
        if changed:
            self._remember(entry, Move.CHANGED, changed)

    def _set_many(self, instance: models.Model, entry: Entry, keys: list[str]) -> None:
        for one in _fields(entry, late=False):
            if isinstance(one, References) and one.key in keys:
                one.assign(instance, entry.wanted[one.key], self)

    def _is_sound(self, instance: models.Model, entry: Entry) -> bool:
        """Ask the model as a whole; what it refuses becomes problems. What could not be read is never sound."""
        broken = {one.name for one in entry.section.fields if one.key in entry.broken}
        try:
            instance.full_clean(exclude=broken | {"password"})
        except ValidationError as error:
            for attribute, messages in error.message_dict.items():
                place = entry.value if attribute == NON_FIELD_ERRORS else entry.place(attribute)
                for message in messages if attribute not in broken else ():
                    self.reading.problems.add(place, message)
            return False
        except ObjectDoesNotExist:  # the model's clean() looked at a reference that is broken
            return False
        return not entry.broken

    def _difference(self, one: Field, instance: models.Model, entry: Entry) -> FieldChange:
        old, new = one.current(instance), entry.wanted[one.key]
        if isinstance(one, Secret):
            return FieldChange(one.key, "", "", secret=True)
        return FieldChange(one.key, one.show(old), one.show(new))

    def _remember(self, entry: Entry, move: Move, changed: list[FieldChange]) -> None:
        known = self._changes.setdefault(
            (entry.section.name, entry.name), Change(entry.section.name, entry.section.noun, entry.name, move)
        )
        known.fields += changed


def _save(instance: models.Model) -> None:
    if isinstance(instance, Subject):
        instance.save_settings()
    else:
        instance.save()


def _fields(entry: Entry, *, late: bool) -> list[Field]:
    return [one for one in entry.section.fields if one.key in entry.wanted and one.late is late]


def _record(outcome: Outcome, making: Making, actor: Actor) -> None:
    """One row of the audit trail for each object."""
    for change in outcome.changes:
        made = making.made.get((change.section, change.name))
        model = BY_NAME[change.section].model._meta.model_name
        audit.record(
            actor=actor,
            action=f"{model}.{VERBS[change.move]}",
            subject=made if isinstance(made, Subject) else None,
            detail={
                "object": change.name,
                "changes": [str(one) for one in change.fields],
                "by": "apply",
            },
        )
