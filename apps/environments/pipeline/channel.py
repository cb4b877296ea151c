"""What OpenSSH needs so that rsync can use it: the run's own configuration, pinned keys, and an agent.

The private keys go from the database into the agent's memory; they are never written to a file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket as sockets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from apps.environments import ssh
from apps.environments.ssh_config import Peer, config, known_hosts
from apps.runs import process
from apps.runs.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from apps.access.models import SshKey
    from apps.environments.models import Host

SOCKET_LENGTH = 90  # ssh-agent adds a few of its own while it begins
AGENT_TIMEOUT = 20  # seconds


def alias(host: Host) -> str:
    return f"panel-{host.pk}"


@contextlib.contextmanager
def rsync_channel(hosts: Sequence[Host], user: str, *, folder: Path, lifetime: int) -> Iterator[str]:
    """The configuration file for `ssh -F`; it works for `lifetime` seconds at most, and inside the block.

    `folder` is made for it; the run's own, so that it goes with the run however that ends.
    """
    folder.mkdir(mode=0o700)
    socket = _socket_path(folder)
    try:
        every = _with_jumps(hosts)
        keys = {host.ssh_key_id: host.ssh_key for host in every}
        for number, key in keys.items():
            (folder / f"{number}.pub").write_text(ssh.public_line(key) + "\n")
        wanted = {host.pk for host in hosts}
        peers = [_peer(host, user if host.pk in wanted else "", folder) for host in every]
        _write(folder / "known_hosts", known_hosts(peers))
        text = config(
            peers,
            known_hosts=str(folder / "known_hosts"),
            agent=str(socket),
            timeout=settings.SSH_CONNECT_TIMEOUT,
            keepalive=settings.SSH_KEEPALIVE,
        )
        _write(folder / "config", text)
        with _agent(socket, list(keys.values()), lifetime):
            yield str(folder / "config")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if socket.parent != folder:
            shutil.rmtree(socket.parent, ignore_errors=True)


def _socket_path(folder: Path) -> Path:
    """Where the agent listens: the path of a socket may have about a hundred characters only."""
    path = folder / "agent"
    return path if len(os.fsencode(path)) <= SOCKET_LENGTH else Path(tempfile.mkdtemp(prefix="deploypanel-")) / "agent"


@contextlib.contextmanager
def _agent(socket: Path, keys: Sequence[SshKey], lifetime: int) -> Iterator[None]:
    # Not as a daemon: in a session of its own, and with an environment that the system hides, the reaper of an
    # ordinary user's panel would not find it when the runner is killed.
    with process.Child(["ssh-agent", "-D", "-a", str(socket)]) as agent:
        _await_agent(agent, socket)
        for key in keys:
            text = key.private_key.strip() + "\n"
            added = process.run(
                ["ssh-add", "-q", "-t", str(lifetime), "-"],
                env=process.environment(SSH_AUTH_SOCK=str(socket)),
                timeout=AGENT_TIMEOUT,
                stdin=text.encode(),
            )
            if added.status:
                raise RunFailed(f"The SSH key “{key.name}” cannot be used.", "Paste it again, without a passphrase.")
        yield


def _await_agent(agent: process.Child, path: Path) -> None:
    """Return when it listens; raises RunFailed."""
    deadline = time.monotonic() + AGENT_TIMEOUT
    while agent.status is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), sockets.socket(sockets.AF_UNIX) as caller:
            caller.connect(str(path))
            return
        time.sleep(0.01)
    said = b"".join(data for _, data in agent.read(0.2)).decode("utf-8", "replace").strip()
    raise RunFailed(f"ssh-agent did not start: {said or 'it does not listen'}")


def _with_jumps(hosts: Sequence[Host]) -> list[Host]:
    """The hosts, and those between them and the panel, each once."""
    found: dict[int, Host] = {}
    queue = list(hosts)
    while queue:
        host = queue.pop()
        if host.pk not in found:
            found[host.pk] = host
            if host.jump_host is not None:
                queue.append(host.jump_host)
    return list(found.values())


def _peer(host: Host, user: str, folder: Path) -> Peer:
    return Peer(
        alias=alias(host),
        address=host.address,
        port=host.port,
        user=user or host.user,
        host_key=host.host_key,
        identity=str(folder / f"{host.ssh_key_id}.pub"),
        jump=alias(host.jump_host) if host.jump_host is not None else "",
    )


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
