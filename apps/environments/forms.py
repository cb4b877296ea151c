"""The environment's form: what a field alone cannot know to be wrong."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from django import forms

from apps.environments.models import Environment


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

    def clean_shared_paths(self) -> list[str]:
        paths = self.cleaned_data["shared_paths"] or []
        if not isinstance(paths, list) or not all(isinstance(path, str) and path for path in paths):
            raise forms.ValidationError('A list of paths is needed, such as ["uploads"].')
        for path in paths:
            pure = PurePosixPath(path)
            if pure.is_absolute() or ".." in pure.parts:
                raise forms.ValidationError(f"{path!r} must lie within the release: relative, without “..”.")
        return paths

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("auto_deploy") and not cleaned.get("deploy_as"):
            self.add_error("deploy_as", "Automatic deployments need an account whose rights and hours count.")
        return cleaned
