"""The settings of the file cache, as people write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django import forms

from apps.access.errors import InputError
from apps.access.forms import LinesField
from apps.access.sealed import Sealed
from apps.files.guard import origins_checked, private_checked
from apps.files.models import CacheSettings
from apps.files.sizes import size_exact, size_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LINES = {"rows": 4, "class": "dp-input dp-mono", "spellcheck": "false"}
LONGEST_TIME = 24 * 3600


class EntriesField(LinesField):
    """Lines that mean something to the guard, in small letters."""

    def __init__(self, *, check: Callable[[Iterable[str]], None], **kwargs: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs=_LINES), required=False, **kwargs)
        self._check = check

    def clean(self, value: Any) -> Any:
        lines = [line.lower() for line in super().clean(value)]
        try:
            self._check(lines)
        except InputError as error:
            raise forms.ValidationError(str(error)) from None
        return lines


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
        check=origins_checked,
        label="Origins that may be asked",
        help_text="One a line: https://a.example, *.example.org, a.example:8443, s3://bucket. Empty: any public one. "
        "It holds for redirects too.",
    )
    private_allowed = EntriesField(
        check=private_checked,
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

    def clean_time_limit(self) -> int:
        seconds = int(self.cleaned_data["time_limit"])
        if not 1 <= seconds <= LONGEST_TIME:
            raise forms.ValidationError(f"1 to {LONGEST_TIME} seconds.")
        return seconds

    def clean_s3_endpoint(self) -> str:
        endpoint = str(self.cleaned_data.get("s3_endpoint") or "").strip()
        if endpoint and _place(endpoint) is None:
            raise forms.ValidationError("Write https://s3.example, or leave it empty for Amazon's own.")
        return endpoint

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("storage") == CacheSettings.Storage.S3 and not cleaned.get("storage_bucket"):
            self.add_error("storage_bucket", "Name the bucket that the files are kept in.")
        if bool(cleaned.get("s3_access_key")) != bool(cleaned.get("s3_secret_key")) and not self.errors:
            self.add_error("s3_secret_key", "An access key and its secret key belong together.")
        moved = _place(self.initial.get("s3_endpoint") or "") != _place(cleaned.get("s3_endpoint") or "")
        if self.instance.pk and moved and isinstance(cleaned.get("s3_secret_key"), Sealed):
            self.add_error("s3_secret_key", "The endpoint is another one: enter its secret key, or clear this one.")
        return cleaned


def _place(endpoint: str) -> tuple[str, str, int | None] | None:
    """Who would be given what the key signs; None for what is no address."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return None
    is_address = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    return (parts.scheme, parts.hostname or "", port or usual) if is_address else None
