"""What OpenSSH is told, when rsync uses it: a configuration of the run's own, and nothing of the operator's.

Each host is an alias (`panel-12`), so no address, user or port ever stands on a command line, and the
pinned keys are listed under the aliases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.access.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLAIN = re.compile(r"\A[^\s\"'%\\#\x00-\x1f\x7f]+\Z")

HEAD = """\
Host *
  BatchMode yes
  StrictHostKeyChecking yes
  UserKnownHostsFile "{known_hosts}"
  GlobalKnownHostsFile /dev/null
  UpdateHostKeys no
  CheckHostIP no
  CanonicalizeHostname no
  KexAlgorithms ^curve25519-sha256,curve25519-sha256@libssh.org
  PreferredAuthentications publickey
  IdentityAgent "{agent}"
  IdentitiesOnly yes
  AddKeysToAgent no
  ForwardAgent no
  ForwardX11 no
  ClearAllForwardings yes
  PermitLocalCommand no
  ControlMaster no
  ControlPath none
  ConnectTimeout {timeout}
  ServerAliveInterval {keepalive}
  ServerAliveCountMax 3
  TCPKeepAlive yes
  LogLevel ERROR
"""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One host as OpenSSH needs to know it. `identity` is the file with the public half of the key to offer."""

    alias: str
    address: str
    port: int
    user: str
    host_key: str  # “TYPE BASE64”
    identity: str
    jump: str = ""  # another peer's alias


def config(peers: Sequence[Peer], *, known_hosts: str, agent: str, timeout: int, keepalive: int) -> str:
    """The text of the file for `ssh -F`; raises InputError for an address or user that OpenSSH would misread."""
    parts = [
        "".join(_section(peer) for peer in peers),
        HEAD.format(known_hosts=_path(known_hosts), agent=_path(agent), timeout=timeout, keepalive=keepalive),
    ]
    return "\n".join(parts)


def known_hosts(peers: Sequence[Peer]) -> str:
    return "".join(f"{peer.alias} {' '.join(peer.host_key.split()[:2])}\n" for peer in peers)


def _section(peer: Peer) -> str:
    for value, what in ((peer.address, "address"), (peer.user, "user")):
        if not _PLAIN.match(value) or value.startswith("-"):
            raise InputError(f"the {what} {value!r} holds characters that SSH cannot take")
    lines = [
        f"Host {peer.alias}",
        f"  HostName {peer.address}",
        f"  Port {peer.port}",
        f"  User {peer.user}",
        f"  HostKeyAlias {peer.alias}",
        f'  IdentityFile "{_path(peer.identity)}"',
    ]
    if peer.jump:
        lines.append(f"  ProxyJump {peer.jump}")
    return "\n".join(lines) + "\n"


def _path(path: str) -> str:
    """A path inside double quotes, where % would begin a token."""
    if '"' in path or "\n" in path:
        raise InputError(f"the data folder's path {path!r} holds a quote or a newline, which SSH cannot take")
    return path.replace("%", "%%")
