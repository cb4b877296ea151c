"""A text field that is encrypted at rest, and opened only when somebody reads it."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.query_utils import DeferredAttribute

from apps.access.errors import DecryptionError
from apps.access.forms import SecretFormField
from apps.access.sealed import Sealed
from apps.access.secrets import encrypt

__all__ = ["EncryptedTextField", "Sealed", "is_set"]


class SecretAttribute(DeferredAttribute):
    """Opens the secret at each reading, so that a row never carries its text about."""

    def sealed(self, instance: Any) -> Any:
        """What the row holds, unopened; fetched where it was deferred."""
        return super().__get__(instance)

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if instance is None or not isinstance(value, Sealed):
            return value
        try:
            return value.open()
        except DecryptionError as error:
            field: Any = self.field
            name = f"{instance._meta.verbose_name} #{instance.pk}, {field.verbose_name}"
            raise DecryptionError(f"{name}: {error}") from None

    def __set__(self, instance: Any, value: Any) -> None:
        field: Any = self.field
        instance.__dict__[field.attname] = Sealed(encrypt(value)) if value and isinstance(value, str) else value


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]  # generic only in the stubs
    """Text kept as a Fernet token of the installation's key ring.

    Loading a row opens nothing; reading the attribute with a ring that lacks the key raises
    DecryptionError and never yields the token. Saving a row whose secret was not touched writes the
    token back as it is. So a wrong key breaks only what needs the secret, and can destroy none.
    Empty text stays empty and readable as "not set"; `is_set(row, name)` tells without opening.
    """

    descriptor_class = SecretAttribute

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Sealed | str | None:
        return Sealed(value) if value else value

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        return model_instance.__dict__.get(self.attname, "")

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, Sealed):
            return value.token
        return encrypt(str(value)) if value else value

    def to_python(self, value: Any) -> Any:
        return value if isinstance(value, Sealed) else super().to_python(value)

    def clean(self, value: Any, model_instance: Any) -> Any:
        if isinstance(value, Sealed):
            return value
        return super().clean(value, model_instance)

    def value_from_object(self, obj: Any) -> Any:
        """What forms and serializers get to see: never the text."""
        return getattr(type(obj), self.attname).sealed(obj)

    def value_to_string(self, obj: Any) -> str:
        value = self.value_from_object(obj)
        return value.token if isinstance(value, Sealed) else ""

    def save_form_data(self, instance: Any, data: Any) -> None:
        if not isinstance(data, Sealed):  # a form that was left blank hands back what it got
            super().save_form_data(instance, data)

    def formfield(self, **kwargs: Any) -> Any:
        kwargs.pop("widget", None)
        allowed = {"required", "label", "help_text", "initial", "widget"}
        defaults: dict[str, Any] = {
            "required": not self.blank,
            "label": self.verbose_name.capitalize(),
            "help_text": self.help_text,
        }
        return SecretFormField(**defaults | {key: value for key, value in kwargs.items() if key in allowed})


def is_set(row: models.Model, name: str) -> bool:
    """Whether the secret `name` of this row has a value, without opening it."""
    field: Any = row._meta.get_field(name)
    return bool(field.value_from_object(row))
