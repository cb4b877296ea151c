"""The forms of triggers: how what a person writes becomes the models' fields, and what it may not be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator

from apps.access.admin_site import checkbox_list
from apps.access.errors import InputError
from apps.access.forms import LinesField
from apps.environments.build_script import script_checked
from apps.runs.states import ENDED, RunState
from apps.triggers.globs import patterns_checked
from apps.triggers.models import Action, EndSource, PushSource, Trigger
from apps.triggers.rules import pointer_checked, rule_checked
from apps.triggers.schedules import schedule_checked
from apps.triggers.services.settings import action_lacks

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.auth.models import User

LONGEST_WAIT = 365 * 24 * 3600  # seconds
STATES = [(state.value, state.label) for state in RunState if state in ENDED]
# What each kind of action needs, and what the form says when it is not there.
NEEDS = {
    Action.Kind.DEPLOY: ("environment", "Which environment is deployed?"),
    Action.Kind.SYNC: ("node", "Which node is synced?"),
    Action.Kind.SCRIPT: ("script", "What is run? A build script: steps with shell, download …"),
}
USES = {
    Action.Kind.AGENTS: set(),
    Action.Kind.DEPLOY: {"environment", "commit_from"},
    Action.Kind.SYNC: {"node", "commit_from"},
    Action.Kind.SCRIPT: {"script", "hosts", "cluster"},
}


def checked(check: Callable[[Any], object], value: Any) -> Any:
    """The value, if `check` takes it; what it refuses becomes the field's error."""
    try:
        check(value)
    except InputError as error:
        raise ValidationError(str(error)) from None
    return value


class RuleField(forms.CharField):
    """A rule on payloads, as JSON; empty is none."""

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False)

    def clean(self, value: Any) -> Any:
        text = str(super().clean(value) or "").strip()
        if not text:
            return None
        try:
            rule = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValidationError(f"Not JSON: line {error.lineno}, column {error.colno}: {error.msg}.") from None
        except (ValueError, RecursionError):
            raise ValidationError("Not JSON that can be read.") from None
        return checked(rule_checked, rule)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(data) != initial)
        except ValidationError:
            return True


class PatternsField(LinesField):
    """Patterns, one a line."""

    def clean(self, value: Any) -> Any:
        return checked(patterns_checked, super().clean(value))


class TriggerForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    """Any text is a name, but people give one."""

    class Meta:
        model = Trigger
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets name them

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "name" in self.fields:  # one that an old client made may have none
            self.fields["name"].required = bool(self.instance.name) or not self.instance.pk
            self.fields["name"].error_messages["required"] = "A trigger needs a name."
        for name in ("max_age", "time_limit", "silence_limit", "rate_seconds"):
            if name in self.fields:
                self.fields[name].validators.append(MaxValueValidator(LONGEST_WAIT))
        for name in ("rate_limit", "rate_seconds", "max_age", "time_limit", "silence_limit"):
            if name in self.fields:
                self.fields[name].min_value = 1  # type: ignore[attr-defined]
                self.fields[name].widget.attrs["min"] = 1

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if any(not letter.isprintable() for letter in name):
            raise ValidationError("A name has no line breaks or control characters.")
        return name

    def clean_script(self) -> str:
        script: str = self.cleaned_data["script"]
        return checked(script_checked, script) if script.strip() else ""

    def clean_schedule(self) -> str:
        try:
            return schedule_checked(self.cleaned_data["schedule"], place="")
        except InputError as error:
            raise ValidationError(str(error)) from None

    def clean_rate_limit(self) -> int | None:
        return self._positive("rate_limit")

    def clean_rate_seconds(self) -> int | None:
        return self._positive("rate_seconds")

    def _positive(self, name: str) -> int | None:
        number: int | None = self.cleaned_data[name]
        if number == 0:
            raise ValidationError("Give a number from 1 on.")
        return number


class PushSourceForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    class Meta:
        model = PushSource
        fields = ("repository", "branches", "paths")


class EndSourceForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    states = forms.MultipleChoiceField(
        choices=STATES, required=False, widget=checkbox_list(), help_text="None chosen: succeeded."
    )

    class Meta:
        model = EndSource
        fields = ("of", "states")


class ActionForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    """One action. `person` edits it; the trigger is as it is about to be saved.

    `let_loose`: it acted as somebody, and would from now on act as the panel.
    """

    person: User | None = None
    act_as: User | None = None
    let_loose = False

    class Meta:
        model = Action
        fields = ("kind", "position", "environment", "node", "commit_from", "script", "hosts", "cluster", "when")

    def clean_commit_from(self) -> str:
        pointer: str = self.cleaned_data["commit_from"].strip()
        return checked(pointer_checked, pointer) if pointer else ""

    def clean_script(self) -> str:
        script: str = self.cleaned_data["script"]
        return checked(script_checked, script) if script.strip() else ""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if "kind" not in cleaned:
            return cleaned
        kind = Action.Kind(cleaned["kind"])
        self._needed(kind, cleaned)
        for name in ("environment", "node", "commit_from", "script", "hosts", "cluster"):
            if name not in USES[kind] and name not in self.errors:  # left over from another kind
                cleaned[name] = {"environment": None, "node": None, "cluster": None, "hosts": []}.get(name, "")
        if not self.errors and (self.has_changed() or self.let_loose) and self.person is not None:
            self._allowed(cleaned)
        return cleaned

    def _needed(self, kind: Action.Kind, cleaned: dict[str, Any]) -> None:
        name, question = NEEDS.get(kind, ("", ""))
        if name and not cleaned.get(name) and name not in self.errors:
            self.add_error(name, question)
        nowhere = not cleaned.get("hosts") and not cleaned.get("cluster")
        if kind is Action.Kind.SCRIPT and nowhere and not {"hosts", "cluster"} & self.errors.keys():
            self.add_error("cluster", "Where does it run? Choose a cluster or hosts.")

    def _allowed(self, cleaned: dict[str, Any]) -> None:
        assert self.person is not None
        wanted = Action(kind=cleaned["kind"], environment=cleaned["environment"], node=cleaned["node"])
        lacks = action_lacks(
            person=self.person,
            action=wanted,
            act_as=self.act_as,
            hosts=cleaned["hosts"] or (),
            cluster=cleaned["cluster"],
        )
        if lacks:
            place = {Action.Kind.DEPLOY: "environment", Action.Kind.SYNC: "node"}.get(Action.Kind(cleaned["kind"]))
            self.add_error(place or "cluster", lacks)
