"""What Git and its ssh are given to log in with: a private folder that lives as long as one call.

Nothing of it is ever in an argument list, a URL or the process environment. The folder is in memory
where the machine has /dev/shm, for the owner alone, and one that a killed process left is swept away.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from apps.repos.errors import HostKeyRefused
from apps.repos.host_keys import HostKey, host_keys_parse
from apps.repos.remote import Remote, remote_parse

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "deploypanel-git-"
HOST_ALIAS = "git-server"  # what the known hosts file calls the server, so that neither name nor port matter
STALE_AFTER = 3600  # seconds

SSH_CONFIG = """\
Host *
  HostKeyAlias {alias}
  StrictHostKeyChecking yes
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile /dev/null
  UpdateHostKeys no
  VerifyHostKeyDNS no
  CheckHostIP no
  CanonicalizeHostname no
  BatchMode yes
  IdentityAgent none
  IdentitiesOnly yes
  IdentityFile {identity}
  PreferredAuthentications publickey
  ForwardAgent no
  ForwardX11 no
  ClearAllForwardings yes
  PermitLocalCommand no
  ControlMaster no
  ControlPath none
  ConnectTimeout {connect_timeout}
  ServerAliveInterval {keepalive}
  ServerAliveCountMax 3
  KexAlgorithms ^curve25519-sha256,curve25519-sha256@libssh.org
  LogLevel ERROR
"""


@dataclass(frozen=True, kw_only=True)
class Login:
    """How to get at one repository's server. Secrets stay out of its `repr`."""

    url: str
    private_key: str = field(default="", repr=False)
    host_keys: str = ""
    username: str = ""
    token: str = field(default="", repr=False)

    @property
    def remote(self) -> Remote:
        return remote_parse(self.url)

    @property
    def pinned(self) -> list[HostKey]:
        return host_keys_parse(self.host_keys)


@contextlib.contextmanager
def opened(login: Login, *, connect_timeout: int, keepalive: int) -> Iterator[dict[str, str]]:
    """Environment variables that let Git log in. Raises HostKeyRefused for ssh without a pinned key."""
    remote = login.remote
    if remote.is_ssh and not login.pinned:
        raise HostKeyRefused(
            f"No host key of {remote.host} is pinned, so it is not trusted. "
            "Press “Scan host key” on the repository's page and compare the fingerprint."
        )
    if remote.scheme == "file" or (remote.scheme == "https" and not login.token):
        yield {}
        return
    folder = _folder()
    try:
        if remote.is_ssh:
            yield _for_ssh(login, folder, connect_timeout, keepalive)
        else:
            yield _for_https(login, remote, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path:
    base = Path("/dev/shm")  # noqa: S108 - a fresh private folder is made in it
    if not os.access(base, os.W_OK | os.X_OK):
        base = Path(tempfile.gettempdir())
    _sweep(base)
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=base))


def _sweep(base: Path) -> None:
    """Remove what killed processes of ours left behind."""
    for left in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            status = left.lstat()
            if status.st_uid == os.getuid() and time.time() - status.st_mtime > STALE_AFTER:
                shutil.rmtree(left, ignore_errors=True)


def _write(path: Path, text: str) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _for_ssh(login: Login, folder: Path, connect_timeout: int, keepalive: int) -> dict[str, str]:
    _write(folder / "known_hosts", "".join(f"{HOST_ALIAS} {key.line}\n" for key in login.pinned))
    identity = "none"
    if login.private_key:
        # OpenSSH takes a key with Windows line ends, or without its last line end, for a broken one.
        text = login.private_key.replace("\r\n", "\n").rstrip("\n") + "\n"
        identity = str(_write(folder / "key", text))
    config = _write(
        folder / "ssh_config",
        SSH_CONFIG.format(
            alias=HOST_ALIAS, folder=folder, identity=identity, connect_timeout=connect_timeout, keepalive=keepalive
        ),
    )
    return {"GIT_SSH_COMMAND": f"ssh -F {shlex.quote(str(config))}", "GIT_SSH_VARIANT": "ssh"}


def _for_https(login: Login, remote: Remote, folder: Path) -> dict[str, str]:
    """Git's own credential store: it hands the token to this server and to no other that it is led to."""
    user = quote(login.username or "git", safe="")
    server = f"[{remote.host}]" if ":" in remote.host else remote.host
    server += f":{remote.port}" if remote.port else ""
    store = _write(folder / "credentials", f"https://{user}:{quote(login.token, safe='')}@{server}\n")
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "credential.helper",
        "GIT_CONFIG_VALUE_0": f"store --file={shlex.quote(str(store))}",
    }
