"""The settings of the file cache, as people write them."""

from __future__ import annotations

from typing import Any

from django import forms

from apps.access.errors import InputError
from apps.access.forms import LinesField
from apps.access.sealed import Sealed
from apps.files.address import endpoint_read
from apps.files.models import CacheSettings
from apps.files.sizes import size_exact, size_read

_LINES = {"rows": 4, "class": "dp-input dp-mono", "spellcheck": "false"}


class EntriesField(LinesField):
    """Lines that mean something to the guard, in small letters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs=_LINES), required=False, **kwargs)

    def clean(self, value: Any) -> Any:
        return [line.lower() for line in super().clean(value)]


class SizeField(forms.CharField):
    """Bytes, written with a unit."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.TextInput(attrs={"class": "dp-input"}), max_length=30, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return size_exact(value) if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        try:
            return size_read(super().clean(value))
        except InputError as error:
            raise forms.ValidationError(str(error)) from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.prepare_value(initial) != data)


class CacheSettingsForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    allowed = EntriesField(
        label="Origins that may be asked",
        help_text="One a line: https://a.example, *.example.org, a.example:8443, s3://bucket. Empty: any public one. "
        "It holds for redirects too.",
    )
    private_allowed = EntriesField(
        label="Private addresses that may be asked all the same",
        help_text="One a line: 10.1.2.3, 10.2.0.0/16, files.internal. Empty: nothing private, link-local or loopback. "
        "A name opens no link-local address: write the number if you mean it.",
    )
    file_limit = SizeField(label="Largest file", help_text="Such as 500 MB or 2 GB.")
    total_limit = SizeField(
        label="All files together", help_text="When they are more, the least recently used leave the cache."
    )

    class Meta:
        model = CacheSettings
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets name them

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        moved = endpoint_read(self.initial.get("s3_endpoint") or "") != endpoint_read(cleaned.get("s3_endpoint") or "")
        if self.instance.pk and moved and isinstance(cleaned.get("s3_secret_key"), Sealed):
            self.add_error("s3_secret_key", "The endpoint is another one: enter its secret key, or clear this one.")
        return cleaned
