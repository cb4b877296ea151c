"""SSH keys: put in or made here, never shown again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.utils.html import format_html

from apps.access.admin_site import ModelAdmin, actor_of, display, switch
from apps.access.errors import InputError
from apps.access.fields import Sealed
from apps.access.forms import SecretFormField
from apps.access.models import SshKey
from apps.access.services import ssh_key_create, ssh_key_replace
from apps.access.ssh_keys import fingerprint, private_key_make, public_key_of

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


class SshKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    generate = forms.BooleanField(
        required=False,
        label="Make a new key here",
        widget=switch(),
        help_text="An ed25519 key. Its private half never leaves the panel; copy the public half to the hosts.",
    )
    private_key = SecretFormField(
        required=False,
        lines=7,
        help_text="OpenSSH or PEM, without a passphrase. It is never shown again; leave it blank to keep it.",
    )

    class Meta:
        model = SshKey
        fields = ("name", "private_key")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        given, held = data.get("private_key"), isinstance(data.get("private_key"), Sealed)
        if data.get("generate"):
            if given and not held:
                raise forms.ValidationError("Either a key of your own or a new one, not both.")
            self.errors.pop("private_key", None)  # that the old one cannot be read does not matter any more
            data["private_key"] = private_key_make()
        elif not given and "private_key" not in self.errors:
            self.add_error("private_key", "Paste a private key, or let the panel make one.")
        elif isinstance(given, str):
            self._check(given)
        return data

    def _check(self, private_key: str) -> None:
        try:
            public_key_of(private_key)
        except InputError as error:
            self.add_error("private_key", str(error))


@admin.register(SshKey)
class SshKeyAdmin(ModelAdmin):
    form = SshKeyForm
    list_display = ("name", "kind", "shown_fingerprint")
    search_fields = ("name", "public_key")
    readonly_fields = ("stored", "public_line")

    def get_fieldsets(self, request: HttpRequest, obj: SshKey | None = None) -> Any:
        fields = ["name", "private_key", "generate"]
        return [(None, {"fields": fields if obj is None else ["name", "stored", "public_line", *fields[1:]]})]

    def save_model(self, request: HttpRequest, obj: SshKey, form: Any, change: Any) -> None:
        given, actor = form.cleaned_data.get("private_key"), actor_of(request)
        if not change:
            obj.pk = ssh_key_create(actor=actor, name=obj.name, private_key=given).pk
            obj._state.adding = False
            return
        SshKey.objects.filter(pk=obj.pk).update(name=obj.name)
        if isinstance(given, str) and given:
            ssh_key_replace(actor=actor, key=SshKey.objects.get(pk=obj.pk), private_key=given)

    @display(description="type")
    def kind(self, key: SshKey) -> str:
        return key.public_key.partition(" ")[0] or "–"

    @display(description="fingerprint")
    def shown_fingerprint(self, key: SshKey) -> SafeString:
        return format_html('<span class="dp-mono">{}</span>', fingerprint(key.public_key) or "–")

    @display(description="private key held")
    def stored(self, key: SshKey) -> SafeString:
        return format_html('Set, fingerprint <span class="dp-mono">{}</span>', fingerprint(key.public_key))

    @display(description="public key")
    def public_line(self, key: SshKey) -> SafeString:
        """One line for `authorized_keys`, selected as a whole by one click (CSS)."""
        return format_html('<code class="dp-mono access-copy">{}</code>', key.public_key)
