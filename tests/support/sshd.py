"""Real hosts for tests: private SSH servers on loopback ports, each with its own key and folder.

`fleet = sshd_fleet(3)` starts three; `fleet.declare()` makes the database rows. A `PrivateHost` has
methods that break it the way hosts break: `stop`, `freeze`, `cut`, `change_host_key`, `hide`.
Works as root and as an ordinary user, who is then also the one who logs in.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.ports import free_port

if TYPE_CHECKING:
    from apps.environments.models import Host
    from apps.environments.ssh_connection import HostConnection

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or "/usr/sbin/sshd"
CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {authorized}
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
PrintMotd no
LogLevel ERROR
ForceCommand /bin/sh {folder}/session
SetEnv {environment}
"""
DEFAULTS = ("MaxStartups 500", "MaxSessions 100")
# The home is empty, so that no start-up file of the real user's shell is read.
# All hosts live on one machine, yet an environment has one target path for all of them. So a session
# opens its host's folder as descriptor 9, and the fleet's `disk` leads to that: one path, another folder on each.
SESSION = """\
cd {root} && exec 9<{root} || exit 1
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""


def keygen(path: Path, kind: str = "ed25519") -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", path.name, "-f", str(path)], check=True, capture_output=True
    )


@dataclass
class PrivateHost:
    """One SSH server. `root` is the folder that stands for the host's disk; there, `Fleet.disk` is its path."""

    name: str
    folder: Path  # the server's own files
    root: Path
    authorized: Path
    port: int = field(default_factory=free_port)
    extra: list[str] = field(default_factory=list)  # more lines of its configuration
    environment: dict[str, str] = field(default_factory=dict)  # of its sessions
    process: subprocess.Popen[bytes] | None = None

    @property
    def host_key(self) -> str:
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    def make(self) -> None:
        self.folder.mkdir(parents=True)
        self.root.mkdir(parents=True)
        keygen(self.folder / "host_key")

    def launch(self) -> None:
        config = self.folder / "sshd_config"
        given = {"HOME": str(self.folder)} | self.environment
        environment = " ".join(f"{name}={value}" for name, value in given.items())
        text = CONFIG.format(port=self.port, folder=self.folder, authorized=self.authorized, environment=environment)
        (self.folder / "session").write_text(SESSION.format(root=shlex.quote(str(self.root))))
        # The first of two lines counts.
        config.write_text("".join(f"{line}\n" for line in [*self.extra, *DEFAULTS]) + text)
        self.process = subprocess.Popen(
            [SSHD, "-D", "-f", str(config), "-E", str(self.folder / "log")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert self.process is None or self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.01)
        raise AssertionError(f"{self.name} did not start: {(self.folder / 'log').read_text()}")

    def start(self) -> None:
        self.launch()
        self.wait()

    def stop(self) -> None:
        """Down: nothing listens any more, and open sessions are gone."""
        if self.process is None:
            return
        self.thaw()
        sessions = self.sessions()
        self.process.terminate()
        self.process.wait(30)
        self.process = None
        for session in sessions:
            with contextlib.suppress(psutil.NoSuchProcess):
                session.kill()

    def sessions(self) -> list[psutil.Process]:
        """The processes that serve open connections (and what they started)."""
        if self.process is None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def cut(self) -> None:
        """Break every open connection, as when a host loses power; what runs there is not told."""
        for session in self.sessions():
            with contextlib.suppress(psutil.NoSuchProcess):
                if session.name().startswith("sshd"):
                    session.kill()

    def freeze(self) -> None:
        """It accepts connections (the kernel does) and never says a word again, until `thaw`."""
        for process in [psutil.Process(self.process.pid), *self.sessions()] if self.process else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        for process in [*self.sessions(), psutil.Process(self.process.pid)] if self.process else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    def change_host_key(self, kind: str = "ed25519") -> None:
        """Reinstalled, or someone else: it shows another key from now on."""
        self.stop()
        for path in (self.folder / "host_key", self.folder / "host_key.pub"):
            path.unlink()
        keygen(self.folder / "host_key", kind)
        self.start()

    def hide(self, *programs: str) -> None:
        """As if these were not installed: sessions get a PATH without them."""
        self.stop()
        farm = self.folder / "bin"
        farm.mkdir(exist_ok=True)
        for folder in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
            for program in Path(folder).iterdir() if Path(folder).is_dir() else []:
                if program.name not in programs and not (farm / program.name).exists():
                    with contextlib.suppress(FileExistsError):
                        (farm / program.name).symlink_to(program)
        self.environment["PATH"] = str(farm)
        self.start()


@dataclass
class Fleet:
    """Some hosts, and the one key that opens them all."""

    folder: Path
    hosts: list[PrivateHost]
    user: str = field(default_factory=getpass.getuser)

    def __getitem__(self, index: int) -> PrivateHost:
        return self.hosts[index]

    def __iter__(self) -> Iterator[PrivateHost]:
        return iter(self.hosts)

    def __len__(self) -> int:
        return len(self.hosts)

    @property
    def private_key(self) -> str:
        return (self.folder / "client_key").read_text()

    @property
    def public_key(self) -> str:
        return (self.folder / "client_key.pub").read_text()

    @property
    def disk(self) -> Path:
        """Where every host finds its own `root`."""
        return self.folder / "disk"

    def declare(self) -> list[Host]:
        """The hosts as rows of the database, with their keys pinned."""
        from apps.access.models import SshKey
        from apps.environments.models import Host

        key, _ = SshKey.objects.get_or_create(name="fleet", defaults={"private_key": self.private_key})
        return [
            Host.objects.create(
                name=host.name,
                address="127.0.0.1",
                port=host.port,
                user=self.user,
                ssh_key=key,
                host_key=host.host_key,
            )
            for host in self.hosts
        ]

    def stop(self) -> None:
        for host in self.hosts:
            host.stop()


def fleet_start(folder: Path, count: int, extra: tuple[str, ...] = ()) -> Fleet:
    """`count` hosts named web1, web2 … under `folder`, running. The caller stops them."""
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's privilege separation wants it
    folder.mkdir(parents=True, exist_ok=True)
    keygen(folder / "client_key")
    authorized = folder / "authorized_keys"
    (folder / "disk").symlink_to("/proc/self/fd/9")
    authorized.write_text((folder / "client_key.pub").read_text())
    hosts = [
        PrivateHost(
            f"web{number}",
            folder / "sshd" / f"web{number}",
            folder / f"web{number}",
            authorized,
            extra=list(extra),
        )
        for number in range(1, count + 1)
    ]
    for host in hosts:
        host.make()
        host.launch()
    for host in hosts:
        host.wait()
    return Fleet(folder, hosts)


def together(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nobody connects to a host until so many are about to: who asked one after the other fails."""
    from apps.environments import ssh

    real, all_there = ssh.connect, threading.Barrier(count)

    def connect(host: Host, user: str = "") -> HostConnection:
        all_there.wait(60)
        return real(host, user)

    monkeypatch.setattr(ssh, "connect", connect)


@pytest.fixture
def sshd_fleet(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """A factory: `sshd_fleet(3)`. All it started is stopped after the test."""
    fleets: list[Fleet] = []

    def start(count: int = 1, *extra: str) -> Fleet:
        fleets.append(fleet_start(tmp_path / f"fleet{len(fleets)}", count, extra))
        return fleets[-1]

    yield start
    for fleet in fleets:
        fleet.stop()
