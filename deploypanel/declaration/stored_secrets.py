"""The secrets of a store of the panel's own: by name, and like every secret never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.access.errors import DecryptionError
from apps.sesam.models import StoredSecret
from deploypanel.declaration.document import DeclarationError, Problems, closest, parse
from deploypanel.declaration.fields import KEPT, Secret, file_text

if TYPE_CHECKING:
    from django.db import models

    from deploypanel.declaration.document import Value
    from deploypanel.declaration.fields import Names, Objects


class StoredSecrets(Secret):
    """All secrets of the store, by name: those that the mapping does not name are taken away.

    `secrets_file` names a file that has the mapping, as YAML or JSON.
    """

    def read(self, values: dict[str, Value], model: type[models.Model], names: Names) -> Any:
        own, filed = (values.get(key) for key in self.keys)
        if own and filed:
            names.problems.add(filed, f"give {self.key} or {self.key}_file, not both")
        value = own or filed
        assert value is not None
        if value.is_nothing:
            return {}
        return self._checked(value if own else _filed(value, names), values, names)

    def _checked(self, value: Value | None, values: dict[str, Value], names: Names) -> dict[str, str] | None:
        if value is None:
            return None
        known = _known(values.get("name"))
        found: dict[str, str] = {}
        for name, item in value.items(names.problems).items():
            text = item.text(names.problems)
            if text == KEPT and name not in known:
                names.problems.add(
                    item, f"there is nothing to keep: the store has no such secret{closest(name, known)}"
                )
            elif len(name) > _LONGEST:
                names.problems.add(item, f"a secret's name has {_LONGEST} characters at most")
            elif text is not None:
                found[name] = text
        return found

    def default(self, model: type[models.Model], value: Value, names: Names) -> dict[str, str]:
        return {}

    def current(self, instance: models.Model) -> Any:
        return {one.name: _opened(one) for one in _rows(instance)} if instance.pk else {}

    def differs(self, instance: models.Model, wanted: Any) -> bool:
        current = self.current(instance)
        return bool({name: current.get(name) if text == KEPT else text for name, text in wanted.items()} != current)

    def assign(self, instance: models.Model, wanted: Any, objects: Objects) -> None:
        rows = {one.name: one for one in _rows(instance)}
        for name in rows.keys() - wanted.keys():
            rows[name].delete()
        for name, text in wanted.items():
            if text == KEPT or (name in rows and _opened(rows[name]) == text):
                continue
            StoredSecret.objects.update_or_create(store_id=instance.pk, name=name, defaults={"value": text})

    def write(self, instance: models.Model) -> Any:
        return {one.name: KEPT for one in _rows(instance)}


_LONGEST = StoredSecret._meta.get_field("name").max_length or 0


def _rows(instance: models.Model) -> list[StoredSecret]:
    return list(StoredSecret.objects.filter(store_id=instance.pk).order_by("name"))


def _known(name: Value | None) -> set[str]:
    store = name.text(Problems()) if name else None
    return set(StoredSecret.objects.filter(store__name=store).values_list("name", flat=True))


def _opened(secret: StoredSecret) -> str | None:
    try:
        return str(secret.value)
    except DecryptionError:  # a key of the ring is lost: whatever the file says replaces it
        return None


def _filed(value: Value, names: Names) -> Value | None:
    """The mapping in the file that `value` names; its problems are told at the name, for its lines are not ours."""
    name = value.text(names.problems)
    text = None if name is None else file_text(name, value, names)
    if name is None or text is None:
        return None
    try:
        mapping = parse(text.encode(), name)
    except DeclarationError as error:
        names.problems.add(value, str(error))
        return None
    if mapping.kind != "a mapping":
        names.problems.add(value, f"{name}: a mapping of names to secrets is needed")
        return None
    return mapping
