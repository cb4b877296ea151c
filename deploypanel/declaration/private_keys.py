"""The private half of an SSH key: checked, kept in its normal form, and the public half derived from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.access.errors import InputError
from apps.access.models import SshKey
from apps.access.ssh_keys import private_key_normal, public_key_of
from deploypanel.declaration.fields import KEPT, Secret

if TYPE_CHECKING:
    from django.db import models

    from deploypanel.declaration.document import Value
    from deploypanel.declaration.fields import Names, Objects


class PrivateKey(Secret):
    def check(self, plain: Any, value: Value, model: type[models.Model], names: Names) -> None:
        try:
            public_key_of(plain)
        except InputError as error:
            names.problems.add(value, str(error))

    def differs(self, instance: models.Model, wanted: Any) -> bool:
        return wanted != KEPT and private_key_normal(self.current(instance) or "") != private_key_normal(wanted)

    def assign(self, instance: models.Model, wanted: Any, objects: Objects) -> None:
        assert isinstance(instance, SshKey)
        instance.private_key = private_key_normal(wanted)
        instance.public_key = public_key_of(wanted, comment=instance.name)
