"""The environment's form: how what a person writes becomes the model's fields."""

from __future__ import annotations

from pathlib import PurePosixPath

from django import forms

from apps.environments.models import Environment


class EnvironmentForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    """What is wrong says the model, to forms and declarations alike."""

    class Meta:
        model = Environment
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets name them

    def clean_target_path(self) -> str:
        """One spelling: without a slash at the end, or a doubled one."""
        return str(PurePosixPath(self.cleaned_data["target_path"]))
