"""Kinds of values: how each is read from the file, compared, set, shown and written.

A field's value has one form everywhere, made of plain Python: a reference is the name of what it
refers to. So the file's value and the database's can be compared with `==`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from django.core.exceptions import ObjectDoesNotExist, ValidationError

from apps.access.errors import DecryptionError
from apps.access.fields import is_set
from deploypanel.declaration.document import Value, closest

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from django.db import models

    from apps.access.actor import Actor
    from deploypanel.declaration.document import Problems

KEPT = "(kept)"  # how a dump stands for a secret, and how a file says "leave it as it is"


class Names(Protocol):
    """What reading must know about the world around one value."""

    problems: Problems
    folder: Path  # relative file names are meant from here

    def known(self, section: str) -> Collection[str]:
        """The names there will be in a section: those of the file and, unless pruned, of the database."""


class Objects(Protocol):
    """What has been made so far."""

    actor: Actor

    def named(self, section: str, name: str) -> models.Model:
        """The object of that name; raises Missing when it could not be made."""


class Missing(Exception):
    """What is referred to could not be made; the reason is among the problems already."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One key of a section's entries. `read` returns None only for a problem or for nothing."""

    key: str
    attribute: str = ""  # on the model, when it is called otherwise
    nothing: Any = None  # what `key:` without a value means; where None, the model's default
    required: bool = False
    late: bool = False  # set when all sections have been made: it may refer to what comes later
    spoken: bool = False  # a dump says so when there is nothing: the default is something else

    @property
    def name(self) -> str:
        return self.attribute or self.key

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key in the file that sets this field."""
        return (self.key,)

    def read(self, values: dict[str, Value], model: type[models.Model], names: Names) -> Any:
        value = values[self.key]
        if value.is_nothing:
            return self.default(model, value, names)
        before = len(names.problems.found)
        plain = self.parse(value, model, names)
        if len(names.problems.found) == before:
            self.check(plain, value, model, names)
        return plain

    def parse(self, value: Value, model: type[models.Model], names: Names) -> Any:
        raise NotImplementedError

    def check(self, plain: Any, value: Value, model: type[models.Model], names: Names) -> None:
        """Ask the model's own field, so that file and form refuse the same values."""
        try:
            model._meta.get_field(self.name).clean(plain, None)  # type: ignore[union-attr]
        except ValidationError as error:
            for message in error.messages:
                names.problems.add(value, message)

    def default(self, model: type[models.Model], value: Value, names: Names) -> Any:
        if self.required:
            names.problems.add(value, "cannot be empty")
        if self.nothing is not None:
            return self.nothing
        return model._meta.get_field(self.name).get_default()  # type: ignore[union-attr]

    def current(self, instance: models.Model) -> Any:
        return getattr(instance, self.name)

    def differs(self, instance: models.Model, wanted: Any) -> bool:
        return bool(self.current(instance) != wanted)

    def assign(self, instance: models.Model, wanted: Any, objects: Objects) -> None:
        setattr(instance, self.name, wanted)

    def absent(self, instance: models.Model) -> None:
        """The object is new and its entry does not have this field."""

    def show(self, plain: Any) -> str:
        return "nothing" if plain in (None, "", [], {}) else str(plain)

    def write(self, instance: models.Model) -> Any:
        """The value as a dump has it; None leaves the key out."""
        return self.current(instance)


class Text(Field):
    def current(self, instance: models.Model) -> str:
        return str(getattr(instance, self.name))  # choices are a kind of str that YAML does not know

    def parse(self, value: Value, model: type[models.Model], names: Names) -> str | None:
        text = value.text(names.problems)
        choices = [str(key) for key, _ in model._meta.get_field(self.name).choices or ()]  # type: ignore[union-attr]
        if text is not None and choices and text not in choices:
            names.problems.add(value, f"{text!r} is none of {', '.join(choices)}{closest(text, choices)}")
        return text


class Integer(Field):
    def parse(self, value: Value, model: type[models.Model], names: Names) -> int | None:
        return value.integer(names.problems)


class Boolean(Field):
    def parse(self, value: Value, model: type[models.Model], names: Names) -> bool | None:
        return value.boolean(names.problems)


class Time(Field):
    def parse(self, value: Value, model: type[models.Model], names: Names) -> dt.time | None:
        text = value.text(names.problems)
        try:
            return dt.time.fromisoformat(text) if text is not None else None
        except ValueError:
            names.problems.add(value, f"{text!r} is no time of day such as 12:00")
            return None

    def show(self, plain: Any) -> str:
        return plain.isoformat("minutes") if plain else "nothing"

    def write(self, instance: models.Model) -> str | None:
        time = self.current(instance)
        return time.isoformat("minutes") if time else None


class Texts(Field):
    """A list of texts, kept as JSON."""

    def parse(self, value: Value, model: type[models.Model], names: Names) -> list[str]:
        texts = [element.text(names.problems) for element in value.elements(names.problems)]
        return [text for text in texts if text is not None]

    def check(self, plain: Any, value: Value, model: type[models.Model], names: Names) -> None:
        if plain:  # an empty list is a good list, whatever a form thinks of it
            super().check(plain, value, model, names)

    def show(self, plain: Any) -> str:
        return f"[{', '.join(plain)}]"


class TextMap(Texts):
    """Texts by key, kept as JSON."""

    def parse(self, value: Value, model: type[models.Model], names: Names) -> Any:
        texts = {key: item.text(names.problems) for key, item in value.items(names.problems).items()}
        return {key: text for key, text in texts.items() if text is not None}

    def show(self, plain: Any) -> str:
        return f"{{{', '.join(f'{key}: {text}' for key, text in plain.items())}}}"


@dataclass(frozen=True, kw_only=True)
class Reference(Field):
    """One object of another section, by its name."""

    section: str
    noun: str

    def parse(self, value: Value, model: type[models.Model], names: Names) -> str | None:
        return named(value, self.section, self.noun, names)

    def check(self, plain: Any, value: Value, model: type[models.Model], names: Names) -> None:
        """`named` has."""

    def default(self, model: type[models.Model], value: Value, names: Names) -> None:
        if self.required:
            names.problems.add(value, f"cannot be empty: name a {self.noun}")

    def current(self, instance: models.Model) -> str | None:
        try:
            other = getattr(instance, self.name)
        except ObjectDoesNotExist:  # not set yet
            return None
        return None if other is None else natural(other)

    def assign(self, instance: models.Model, wanted: str | None, objects: Objects) -> None:
        setattr(instance, self.name, None if wanted is None else objects.named(self.section, wanted))


class References(Reference):
    """Several objects of another section. Set once the object that has them is saved."""

    def parse(self, value: Value, model: type[models.Model], names: Names) -> Any:
        found = [named(element, self.section, self.noun, names) for element in value.elements(names.problems)]
        return sorted({name for name in found if name is not None})

    def default(self, model: type[models.Model], value: Value, names: Names) -> Any:
        return []

    def current(self, instance: models.Model) -> Any:
        return sorted(natural(other) for other in getattr(instance, self.name).all()) if instance.pk else []

    def assign(self, instance: models.Model, wanted: Any, objects: Objects) -> None:
        getattr(instance, self.name).set([objects.named(self.section, name) for name in wanted])

    def show(self, plain: Any) -> str:
        return f"[{', '.join(plain)}]"


class Secret(Field):
    """Text that is never shown: given as it is, by a file's name in `KEY_file`, or `(kept)`."""

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key, f"{self.key}_file")

    def read(self, values: dict[str, Value], model: type[models.Model], names: Names) -> str | None:
        own, filed = (values.get(key) for key in self.keys)
        if own and filed:
            names.problems.add(filed, f"give {self.key} or {self.key}_file, not both")
        value = own or filed
        assert value is not None
        if value.is_nothing:
            return str(self.default(model, value, names) or "")
        plain = value.text(names.problems)
        if plain is not None and filed:
            plain = file_text(plain, value, names)
        if plain is not None and plain != KEPT:
            self.check(plain, value, model, names)
        return plain

    def current(self, instance: models.Model) -> str | None:
        try:
            return str(getattr(instance, self.name))
        except DecryptionError:  # a key of the ring is lost: whatever the file says replaces it
            return None

    def differs(self, instance: models.Model, wanted: Any) -> bool:
        return wanted != KEPT and super().differs(instance, wanted)

    def write(self, instance: models.Model) -> str | None:
        return KEPT if is_set(instance, self.name) else None


def natural(instance: models.Model) -> str:
    """What the file calls an object: a user's name, a subject's path, anything else's name."""
    for attribute in ("path", "username"):
        if hasattr(instance, attribute):
            return str(getattr(instance, attribute))
    return str(instance.name)  # type: ignore[attr-defined]


def named(value: Value, section: str, noun: str, names: Names) -> str | None:
    """The name that `value` has, when something is, or will be, called so."""
    name = value.text(names.problems)
    if name is None or name in names.known(section):
        return name
    names.problems.add(value, f"no {noun} is called {name!r}{closest(name, names.known(section))}")
    return None


def file_text(name: str, value: Value, names: Names) -> str | None:
    """What the file says, without the line end that editors add; a problem names the file."""
    try:
        path = (names.folder / name).expanduser()
        text = path.read_text(encoding="utf-8")
    except (OSError, RuntimeError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        names.problems.add(value, f"{name}: cannot be read ({said})")
    except ValueError:  # no UTF-8, or a NUL in the name
        names.problems.add(value, f"{name}: is not a text file")
    else:
        if text.strip():
            return text.rstrip("\r\n")
        names.problems.add(value, f"{name}: is empty")
    return None
