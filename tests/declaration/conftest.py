"""A folder with a key and a password, and `apply` as one call."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apps.access.actor import Actor, Door
from deploypanel.declaration.apply import declaration_apply
from deploypanel.declaration.changes import Outcome
from deploypanel.declaration.document import DeclarationError

OPERATOR = Actor(user=None, door=Door.COMMAND)

FULL = """\
ssh_keys:      [{name: fleet, private_key_file: id_ed25519}]
business_hours:
  - {name: office, timezone: Europe/Paris, country: FR, weekly: {mon: "08:00-18:30", fri: "08:00-14:00"},
     closed: ["12-24"]}
hosts:
  - {name: web1, address: 127.0.0.1, port: 2201, user: deploy, ssh_key: fleet, jump_host: gate, labels: [web, paris]}
  - {name: gate, address: 127.0.0.1, port: 2202, user: deploy, ssh_key: fleet}
clusters:      [{name: blue, hosts: [web1]}]
repositories:  [{name: shop, url: "file:///srv/git/shop.git", webhook_secret: "a-very-quiet-word", owners: [alice]}]
environments:
  - {repository: shop, name: prod, branch: main, path: /srv/shop, user: deploy, method: symlink, clusters: [blue],
     auto_deploy: true, deploy_as: auto, hours: office, rsync_options: "-az --delete", keep_releases: 5, parallel: 20}
groups:        [{name: staff, grants: [{repository: shop, permission: view}]}]
users:
  - {name: alice, password_file: password, staff: true, groups: [staff],
     grants: [{environment: shop/prod, permission: deploy_in_hours}]}
  - {name: auto, grants: [{environment: shop/prod, permission: deploy}]}
"""


class Apply(Protocol):
    def __call__(self, text: str | bytes, *, dry_run: bool = False, remove: bool = False) -> Outcome: ...


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the declaration lies: with a private key and a password beside it."""
    folder = tmp_path / "declaration"
    folder.mkdir()
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    (folder / "id_ed25519").write_bytes(key)
    (folder / "password").write_text("correct horse battery\n")
    return folder


@pytest.fixture
def apply(folder: Path) -> Apply:
    def call(text: str | bytes, *, dry_run: bool = False, remove: bool = False) -> Outcome:
        data = text.encode() if isinstance(text, str) else text
        return declaration_apply(
            data=data, file="shop.yaml", folder=folder, actor=OPERATOR, dry_run=dry_run, remove=remove
        )

    return call


def problems(apply: Apply, text: str | bytes, *, remove: bool = False) -> list[str]:
    """What is wrong with the file, a line each without its name."""
    with pytest.raises(DeclarationError) as raised:
        apply(text, remove=remove)
    return [problem.as_line("").lstrip(":") for problem in raised.value.problems]
