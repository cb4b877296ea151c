"""A user's password: compared and hashed while the file is read, because that is slow on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX, check_password, is_password_usable, make_password
from django.contrib.auth.models import User

from deploypanel.declaration.document import Problems
from deploypanel.declaration.fields import KEPT, Secret

if TYPE_CHECKING:
    from django.db import models

    from deploypanel.declaration.document import Value
    from deploypanel.declaration.fields import Names


class Password(Secret):
    """Its value is the hash to store, or `(kept)` where the user has this password already."""

    def read(self, values: dict[str, Value], model: type[models.Model], names: Names) -> str | None:
        plain = super().read(values, model, names)
        if plain is None or plain == KEPT:
            return plain
        if not plain:
            return UNUSABLE_PASSWORD_PREFIX
        name = values["name"].text(Problems()) if "name" in values else None
        user = User.objects.filter(username=name).first()
        return KEPT if user and check_password(plain, user.password) else make_password(plain)

    def check(self, plain: str, value: Value, model: type[models.Model], names: Names) -> None:
        """Any password will do: the operator at the shell decides."""

    def current(self, instance: models.Model) -> str:
        return str(getattr(instance, self.name))

    def differs(self, instance: models.Model, wanted: str) -> bool:
        if wanted == UNUSABLE_PASSWORD_PREFIX:
            return is_password_usable(self.current(instance))
        return wanted != KEPT

    def assign(self, instance: models.Model, wanted: str, objects: object) -> None:
        setattr(instance, self.name, make_password(None) if wanted == UNUSABLE_PASSWORD_PREFIX else wanted)

    def absent(self, instance: models.Model) -> None:
        setattr(instance, self.name, make_password(None))

    def write(self, instance: models.Model) -> str | None:
        return KEPT if is_password_usable(self.current(instance)) else None
