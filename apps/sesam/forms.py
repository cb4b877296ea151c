"""The forms of nodes and secret stores: how what a person writes becomes the models' fields, and what it may not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django import forms

from apps.access.admin_site import checkbox_list
from apps.access.fields import Sealed
from apps.sesam.models import Node, SecretStore
from apps.sesam.soundness import VERIFIED

if TYPE_CHECKING:
    from collections.abc import Iterable

AIMED = "The address is another one: enter {what} anew, so that nobody sends a token they do not know elsewhere."
CHOICES = [(name, name.capitalize()) for name in VERIFIED]


class NodeForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    """Keeps a node's token, and its store's secrets, from who may only configure the node."""

    may_use_stores = False

    verify = forms.MultipleChoiceField(
        choices=CHOICES,
        required=False,
        widget=checkbox_list(),
        help_text="Every name that is used must be there, or nothing is applied.",
    )
    upload = forms.MultipleChoiceField(
        choices=CHOICES, required=False, widget=checkbox_list(), help_text="Sent to the node before the configuration."
    )

    class Meta:
        model = Node
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets name them

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.instance.pk or not is_elsewhere(self.initial.get("url", ""), cleaned.get("url", "")):
            return cleaned
        if isinstance(cleaned.get("jwt"), Sealed):
            self.add_error("jwt", AIMED.format(what="the node's token"))
        if cleaned.get("secret_store") is not None and not self.may_use_stores:
            text = (
                "The address is another one, and this store's secrets would go there: only who may change secret "
                "stores can do that. Choose none, or ask them."
            )
            self.add_error("secret_store", text)
        return cleaned


class SecretStoreForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    """Keeps a store's tokens from who does not know them."""

    class Meta:
        model = SecretStore
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets name them

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.instance.pk and is_elsewhere(self.initial.get("url", ""), cleaned.get("url", "")):
            self._tokens_anew(cleaned, ("token", "secret_id"))
        return cleaned

    def _tokens_anew(self, cleaned: dict[str, Any], names: Iterable[str]) -> None:
        for name in names:
            if isinstance(cleaned.get(name), Sealed):
                self.add_error(name, AIMED.format(what="it"))


def is_elsewhere(before: str, after: str) -> bool:
    """Whether who answers at one address may be somebody else than at the other."""
    return _place(before) != _place(after)


def _place(url: str) -> tuple[str, str, int | None, str] | str:
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return url
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    path = parts.path.rstrip("/").removesuffix("/api")
    return parts.scheme, (parts.hostname or "").lower(), port or usual, f"{path}?{parts.query}"
