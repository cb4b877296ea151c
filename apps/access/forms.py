"""Form fields for secrets, which are written and never shown again, and for lists of words."""

from __future__ import annotations

from typing import Any

from django import forms
from django.template.loader import render_to_string

from apps.access.errors import DecryptionError
from apps.access.sealed import Sealed


class SecretWidget(forms.Widget):
    """A password-like box that never holds the present value; with a box to clear it where it may be empty."""

    template_name = "access/widgets/secret.html"

    def __init__(self, attrs: dict[str, Any] | None = None, *, lines: int = 1) -> None:
        super().__init__(attrs)
        self.lines = lines

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, None, attrs)
        held = isinstance(value, Sealed)
        context["widget"] |= {"held": held, "clearable": held and not self.is_required, "lines": self.lines}
        return context

    def _render(self, template_name: str, context: dict[str, Any], renderer: Any = None) -> Any:
        return render_to_string(template_name, context)  # from the project's templates, not the forms engine's

    def value_from_datadict(self, data: Any, files: Any, name: str) -> tuple[str, bool]:
        return data.get(name, ""), bool(data.get(f"{name}_clear"))

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return name not in data

    def use_required_attribute(self, initial: Any) -> bool:
        return super().use_required_attribute(initial) and not initial


class SecretFormField(forms.Field):
    """Left blank it keeps what is stored; the checkbox clears it; anything else replaces it."""

    widget = SecretWidget

    def __init__(self, *, lines: int = 1, **kwargs: Any) -> None:
        kwargs.setdefault("widget", SecretWidget(lines=lines))
        super().__init__(**kwargs)

    def clean(self, value: Any, initial: Any = None) -> Any:
        text, clear = value if isinstance(value, tuple) else (value or "", False)
        text = text.strip()
        if text and clear:
            raise forms.ValidationError("Either a new value or “clear”, not both.")
        if text:
            return text
        if clear and not self.required:
            return ""
        if isinstance(initial, Sealed):
            return _readable(initial)
        if self.required:
            raise forms.ValidationError(self.error_messages["required"], code="required")
        return ""

    def _clean_bound_field(self, bf: Any) -> Any:
        return self.clean(bf.data, bf.initial)

    def has_changed(self, initial: Any, data: Any) -> bool:
        text, clear = data if isinstance(data, tuple) else (data or "", False)
        return bool(text.strip()) or (clear and bool(initial))

    def bound_data(self, data: Any, initial: Any) -> Any:
        return initial  # a form shown again after an error never repeats the secret


def _readable(kept: Sealed) -> Sealed:
    try:
        kept.open()
    except DecryptionError as error:
        raise forms.ValidationError(f"{error} Or enter it anew.") from None
    return kept


class LinesField(forms.CharField):
    """A list of words, edited as one a line."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        lines = (line.strip() for line in str(super().clean(value)).splitlines())
        return [line for line in lines if line]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.clean(data))
