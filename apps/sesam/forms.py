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
    from collections.abc import Iterable, Mapping

AIMED = "The address is another one: enter {what} anew, so that nobody sends a token they do not know elsewhere."
VOUCHED = (
    "Who vouches for the address has changed: enter {what} anew, so that nobody shows a token they do not know to "
    "somebody else."
)
STORE_AIMED = (
    "The address, or who vouches for it, is another one, and this store's secrets would go there: only who may change "
    "secret stores can do that. Choose none, or ask them."
)
STORE_LENT = (
    "This node uses the secrets of a store, and another repository would say what for: only who may change secret "
    "stores can do that. Choose no store, or ask them."
)
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
        if not self.instance.pk:
            return cleaned
        wrong = _aimed(self.initial, cleaned)
        if wrong and isinstance(cleaned.get("jwt"), Sealed):
            self.add_error("jwt", wrong.format(what="the node's token"))
        if cleaned.get("secret_store") is None or self.may_use_stores:
            return cleaned
        if wrong:
            self.add_error("secret_store", STORE_AIMED)
        elif "repository" in self.changed_data:
            self.add_error("secret_store", STORE_LENT)
        return cleaned


class SecretStoreForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    """Keeps a store's tokens from who does not know them."""

    class Meta:
        model = SecretStore
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets name them

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.instance.pk and (wrong := _aimed(self.initial, cleaned)):
            self._tokens_anew(cleaned, ("token", "secret_id"), wrong)
        return cleaned

    def _tokens_anew(self, cleaned: dict[str, Any], names: Iterable[str], wrong: str) -> None:
        for name in names:
            if isinstance(cleaned.get(name), Sealed):
                self.add_error(name, wrong.format(what="it"))


def _aimed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Why somebody else may get what is sent than before, to be told; empty where nobody can."""
    if is_elsewhere(before.get("url") or "", after.get("url") or ""):
        return AIMED
    if not before.get("verify_tls", True):  # anyone on the way could read it already
        return ""
    bundles = ((one.get("ca_bundle") or "").split() for one in (before, after))
    return VOUCHED if len({tuple(words) for words in bundles}) > 1 or not after.get("verify_tls", True) else ""


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
