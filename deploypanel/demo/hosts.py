"""The demo's hosts: SSH servers on loopback ports, each with its own host key and its own folder as its disk.

All three live on one machine, yet an environment has one target path for all of its hosts. So a session on a host
opens its folder as descriptor 9, and `DATA/demo/host` leads to that: the same path means another folder on each.
"""

from __future__ import annotations

import getpass
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from apps.access.errors import InputError
from apps.runs.process import run
from deploypanel.demo.ports import free_ports, port_answers

NAMES = ("web1", "web2", "web3")
FIRST_PORT = 2201
CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey "{folder}/host_key"
PidFile none
AuthorizedKeysFile "{authorized}"
ForceCommand {session}
AllowUsers {user}
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
UseDNS no
PrintMotd no
LogLevel ERROR
MaxStartups 100
"""
SESSION = """\
#!/bin/sh
# What a session on this host runs: its own folder is open as descriptor 9, where ../host leads.
cd {disk} && exec 9<{disk} || exit 1
if [ -n "${{SSH_ORIGINAL_COMMAND:-}}" ]; then exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"; fi
exec "${{SHELL:-/bin/sh}}"
"""


@dataclass(frozen=True)
class DemoHost:
    name: str
    folder: Path

    @property
    def disk(self) -> Path:
        """What the host has: on it, this is `DATA/demo/host`."""
        return self.folder / "disk"

    @property
    def config(self) -> Path:
        return self.folder / "sshd_config"

    @property
    def port(self) -> int:
        line = self.config.read_text(encoding="utf-8").splitlines()[0]
        return int(line.removeprefix("Port "))

    @property
    def host_key(self) -> str:
        return " ".join((self.folder / "host_key.pub").read_text(encoding="ascii").split()[:2])

    @property
    def is_up(self) -> bool:
        return port_answers(self.port)

    @property
    def argv(self) -> list[str]:
        return [sshd(), "-D", "-f", str(self.config), "-E", str(self.folder / "log")]


def demo_hosts(folder: Path) -> list[DemoHost]:
    """The hosts that were made there; empty when there is no demo."""
    hosts = [DemoHost(name, folder / name) for name in NAMES]
    return [host for host in hosts if host.config.exists()]


def hosts_make(folder: Path) -> list[DemoHost]:
    """Keys, folders and configurations. Ports are chosen once, so that they stay what the panel was told."""
    user, ports = getpass.getuser(), iter(free_ports(len(NAMES), FIRST_PORT))
    keygen(folder / "id_ed25519", "deploypanel demo")
    authorized = folder / "authorized_keys"
    authorized.write_text((folder / "id_ed25519.pub").read_text(encoding="ascii"), encoding="ascii")
    link = folder / "host"
    link.unlink(missing_ok=True)
    link.symlink_to("/proc/self/fd/9")
    for name in NAMES:
        host = DemoHost(name, folder / name)
        host.disk.mkdir(parents=True, exist_ok=True)
        keygen(host.folder / "host_key", name)
        session = host.folder / "session"
        session.write_text(SESSION.format(disk=quote(str(host.disk))), encoding="utf-8")
        text = CONFIG.format(
            port=next(ports),
            folder=host.folder,
            authorized=authorized,
            session=f"/bin/sh {quote(str(session))}",
            user=user,
        )
        host.config.write_text(text, encoding="utf-8")
    return demo_hosts(folder)


def keygen(path: Path, comment: str) -> None:
    for old in (path, path.with_name(f"{path.name}.pub")):
        old.unlink(missing_ok=True)
    done = run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], timeout=20)
    if done.status:
        raise InputError(f"ssh-keygen failed: {done.err.decode(errors='replace').strip()}")


def sshd() -> str:
    """sshd starts itself again for each connection and wants its full path; raises InputError when it is missing."""
    found = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin:/usr/local/sbin")
    if not found:
        raise InputError("sshd is missing, which the demo's hosts run (Debian: apt-get install openssh-server).")
    return found


def privilege_folder_make() -> None:
    """sshd refuses to run as root without the folder that the system's own service would make at boot."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, parents=True, exist_ok=True)
