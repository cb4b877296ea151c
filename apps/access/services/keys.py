"""SSH keys: stored once, never shown again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError

from apps.access import audit
from apps.access.errors import InputError
from apps.access.models import SshKey
from apps.access.ssh_keys import fingerprint, private_key_make, private_key_normal, public_key_of

if TYPE_CHECKING:
    from apps.access.actor import Actor


def ssh_key_create(*, actor: Actor, name: str, private_key: str) -> SshKey:
    """Stores a private key under a name; raises InputError for a bad key or a taken name.

    Who may is the door's question: SSH keys belong to no subject.
    """
    key = SshKey(name=name)
    _fill(key, private_key)
    try:
        key.full_clean()
    except ValidationError as error:
        raise InputError(" ".join(error.messages), f"SSH key {name}") from None
    key.save()
    audit.record(actor=actor, action="ssh_key.add", detail=_detail(key))
    return key


def ssh_key_generate(*, actor: Actor, name: str) -> SshKey:
    """Makes a new ed25519 key: the private half never leaves the panel."""
    return ssh_key_create(actor=actor, name=name, private_key=private_key_make())


def ssh_key_replace(*, actor: Actor, key: SshKey, private_key: str) -> bool:
    """Puts another private key in its place; False when it is the same one. Raises InputError."""
    before = key.public_key
    _fill(key, private_key)
    if key.public_key == before:
        return False
    key.save()
    audit.record(actor=actor, action="ssh_key.replace", detail=_detail(key) | {"former": fingerprint(before)})
    return True


def _fill(key: SshKey, private_key: str) -> None:
    key.public_key = public_key_of(private_key, comment=key.name)
    key.private_key = private_key_normal(private_key)


def _detail(key: SshKey) -> dict[str, str]:
    return {"object": key.name, "fingerprint": fingerprint(key.public_key)}
