"""The environment's form: how what a person writes becomes the model's fields."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from django import forms

from apps.environments.models import Environment


class LinesField(forms.CharField):
    """A list of words, edited as one a line."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        lines = (line.strip() for line in str(super().clean(value)).splitlines())
        return [line for line in lines if line]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.clean(data))


class EnvironmentForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    """What is wrong says the model, to forms and declarations alike."""

    class Meta:
        model = Environment
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets name them

    def clean_target_path(self) -> str:
        """One spelling: without a slash at the end, or a doubled one."""
        return str(PurePosixPath(self.cleaned_data["target_path"]))
