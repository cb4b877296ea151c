"""What a declaration says of the file cache: its settings, which are one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.access.errors import InputError
from apps.files.sizes import size_exact, size_read
from deploypanel.declaration.fields import Field, Integer, Secret, Text, Texts

if TYPE_CHECKING:
    from django.db import models

    from deploypanel.declaration.document import Value
    from deploypanel.declaration.fields import Names


class Entries(Texts):
    """Texts that mean something to the guard, in small letters."""

    def parse(self, value: Value, model: type[models.Model], names: Names) -> list[str]:
        return [text.lower() for text in super().parse(value, model, names)]


class Size(Field):
    """Bytes, written with a unit."""

    def parse(self, value: Value, model: type[models.Model], names: Names) -> int | None:
        text = value.text(names.problems)
        try:
            return None if text is None else size_read(text)
        except InputError as error:
            names.problems.add(value, str(error))
            return None

    def show(self, plain: Any) -> str:
        return size_exact(plain)

    def write(self, instance: models.Model) -> str:
        return size_exact(self.current(instance))


CACHE = (
    Entries(key="allowed"),
    Entries(key="private_allowed"),
    Size(key="file_limit"),
    Size(key="total_limit"),
    Integer(key="time_limit"),
    Text(key="s3_endpoint"),
    Text(key="s3_region"),
    Text(key="s3_access_key"),
    Secret(key="s3_secret_key"),
    Text(key="storage"),
    Text(key="storage_bucket"),
    Text(key="storage_prefix"),
)
