"""OpenSSH's configuration is read by a real ssh, and says what was meant."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from apps.access.errors import InputError
from apps.environments.pipeline.channel import _agent
from apps.environments.ssh_config import Peer, config, known_hosts
from apps.runs.errors import RunFailed


def peer(**given: object) -> Peer:
    values = {
        "alias": "panel-1",
        "address": "10.0.0.1",
        "port": 2201,
        "user": "deploy",
        "host_key": "ssh-ed25519 AAAA comment",
        "identity": "/tmp/a b/1.pub",
    }
    return Peer(**(values | given))  # type: ignore[arg-type]


def test_ssh_reads_what_was_meant(tmp_path: Path) -> None:
    peers = [peer(), peer(alias="panel-2", address="::1", jump="panel-1")]
    text = config(peers, known_hosts="/tmp/a 50%/known", agent="/tmp/agent", timeout=7, keepalive=3)
    (tmp_path / "config").write_text(text)
    out = subprocess.run(
        ["ssh", "-F", str(tmp_path / "config"), "-G", "panel-2"], check=True, capture_output=True, text=True
    ).stdout
    said = dict(line.split(" ", 1) for line in out.splitlines() if " " in line)
    assert (said["hostname"], said["port"], said["user"]) == ("::1", "2201", "deploy")
    assert (said["hostkeyalias"], said["proxyjump"]) == ("panel-2", "panel-1")
    assert said["userknownhostsfile"] == "/tmp/a 50%/known"
    assert (said["stricthostkeychecking"], said["batchmode"], said["forwardagent"]) == ("true", "yes", "no")
    assert (said["serveraliveinterval"], said["connecttimeout"]) == ("3", "7")
    assert said["kexalgorithms"].startswith("curve25519-sha256,curve25519-sha256@libssh.org,")
    assert said["identityfile"] == "/tmp/a b/1.pub"


def test_known_hosts_stand_under_aliases() -> None:
    assert known_hosts([peer()]) == "panel-1 ssh-ed25519 AAAA\n"


@pytest.mark.parametrize("address", ["a b", "x\nProxyCommand id", "%h", '"', "-oProxyCommand=id", "", "#"])
def test_hostile_addresses_are_refused(address: str) -> None:
    with pytest.raises(InputError, match="address"):
        config([peer(address=address)], known_hosts="/k", agent="/a", timeout=1, keepalive=1)


def test_agent_is_where_the_reaper_looks(tmp_path: Path) -> None:
    """Its environment is hidden from an ordinary user, so only the runner's session tells whose it is."""
    path = tmp_path / "agent"

    def agents() -> list[psutil.Process]:
        return [one for one in psutil.process_iter(["cmdline"]) if str(path) in (one.info["cmdline"] or ())]

    with _agent(path, [], 60):
        [agent] = agents()
        assert os.getsid(agent.pid) == os.getsid(0)
        assert path.is_socket()
    assert not agents()
    with pytest.raises(RunFailed, match="ssh-agent did not start"), _agent(tmp_path / "none" / "agent", [], 60):
        pass
