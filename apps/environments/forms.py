"""The environment's form: what a field alone cannot know to be wrong."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from django import forms

from apps.access.errors import InputError
from apps.environments.models import Environment
from apps.environments.rsync import options_parsed


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
    """Says what is wrong before a deployment would."""

    class Meta:
        model = Environment
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets name them

    def clean_target_path(self) -> str:
        path: str = self.cleaned_data["target_path"].strip()
        pure = PurePosixPath(path)
        if not pure.is_absolute() or ".." in pure.parts or len(pure.parts) < 2:
            raise forms.ValidationError("An absolute path is needed, such as /srv/shop, and not the root itself.")
        return str(pure)

    def clean_rsync_options(self) -> str:
        options: str = self.cleaned_data["rsync_options"].strip()
        try:
            options_parsed(options)
        except InputError as error:
            raise forms.ValidationError(str(error)) from None
        return options

    def clean_shared_paths(self) -> list[str]:
        paths: list[str] = self.cleaned_data["shared_paths"]
        for path in paths:
            pure = PurePosixPath(path)
            if pure.is_absolute() or ".." in pure.parts or not pure.parts:
                raise forms.ValidationError(f"{path!r} must lie within the release: relative, without “..”.")
        return paths

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("auto_deploy") and not cleaned.get("deploy_as"):
            self.add_error("deploy_as", "Automatic deployments need an account whose rights and hours count.")
        return cleaned
