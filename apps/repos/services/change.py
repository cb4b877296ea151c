"""Changes to a repository's row that are more than a field: names, host keys, webhook secrets."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from django.db import transaction

from apps.access import gate
from apps.access.errors import InputError
from apps.access.models import Subject
from apps.repos.errors import Unreachable
from apps.repos.host_keys import HostKey, host_keys_parse
from apps.repos.models import Repository
from apps.repos.remote import DEFAULT_PORTS, remote_parse
from apps.runs import process

if TYPE_CHECKING:
    from apps.access.actor import Actor

SCAN_TIMEOUT = 10  # seconds


def repository_save(*, repository: Repository) -> None:
    """Save a repository; with a new name, its environments' paths follow it."""
    with transaction.atomic():
        repository.save_settings()
        for child in Subject.objects.filter(parent_id=repository.pk):
            path = f"{repository.name}/{child.path.split('/', 1)[-1]}"
            if child.path != path:
                Subject.objects.filter(pk=child.pk).update(path=path)


def host_keys_scan(*, repository: Repository) -> list[HostKey]:
    """What the Git server shows now, best kind first. A person compares the fingerprints before they are pinned.

    Raises InputError for a repository that is not reached by ssh, Unreachable.
    """
    remote = remote_parse(repository.url)
    if not remote.is_ssh:
        raise InputError(f"{repository.name} is not reached by ssh: there is no host key to scan.")
    port = str(remote.port or DEFAULT_PORTS["ssh"])
    argv = ["ssh-keyscan", "-T", str(SCAN_TIMEOUT), "-p", port, "-t", "ed25519,ecdsa,rsa", "--", remote.host]
    done = process.run(argv, timeout=SCAN_TIMEOUT * 4)
    keys = host_keys_parse("\n".join(_key_lines(done.out)))
    if not keys:
        said = done.err.decode("utf-8", "replace").strip().splitlines()
        raise Unreachable(f"{remote.host} (port {port}) shows no host key: {said[-1] if said else 'no answer'}.")
    return sorted(keys, key=lambda key: ("ed25519" not in key.kind, "ecdsa" not in key.kind))


def _key_lines(out: bytes) -> list[str]:
    return [line for line in out.decode("ascii", "replace").splitlines() if line and not line.startswith("#")]


def host_keys_pin(*, repository: Repository, keys: str, actor: Actor) -> None:
    """Trust these keys, and no others, from now on. For those who may configure; raises Refused, InputError."""
    pinned = host_keys_parse(keys)
    gate.require(
        actor=actor,
        act=gate.Act.CONFIGURE,
        subject=repository,
        action="pin host keys",
        detail={"fingerprints": [f"{key.kind} {key.fingerprint}" for key in pinned]},
    )
    if not pinned:
        raise InputError("No key was chosen.")
    lines = "\n".join(key.line for key in pinned)
    Repository.objects.filter(pk=repository.pk).update(host_keys=lines, fetch_error="")


def webhook_secret_renew(*, repository: Repository, actor: Actor) -> str:
    """A new webhook secret, shown this once; the one before stays valid until it is dropped. Raises Refused."""
    gate.require(actor=actor, act=gate.Act.CONFIGURE, subject=repository, action="renew webhook secret")
    fresh = secrets.token_urlsafe(32)
    with transaction.atomic():
        row = Repository.objects.select_for_update().get(pk=repository.pk)
        row.webhook_secret_old, row.webhook_secret = row.webhook_secret, fresh
        row.save(update_fields=["webhook_secret", "webhook_secret_old"])
    return fresh


def webhook_secret_drop_old(*, repository: Repository, actor: Actor) -> None:
    """From now on only the newest secret is accepted. Raises Refused."""
    gate.require(actor=actor, act=gate.Act.CONFIGURE, subject=repository, action="drop former webhook secret")
    Repository.objects.filter(pk=repository.pk).update(webhook_secret_old="")
