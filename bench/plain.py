"""The physical limit: plain rsync over fresh SSH connections, with the same parallelism."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sshd import Fleet, PrivateHost


def rsync_all(fleet: Fleet, tree: Path, target: str) -> float:
    """Seconds that `rsync -az --delete` takes to all hosts of the fleet at once."""
    known = fleet.folder / "known_hosts"
    known.write_text("".join(f"[127.0.0.1]:{host.port} {host.host_key}\n" for host in fleet))

    def one(host: PrivateHost) -> None:
        ssh = f"ssh -F none -i {fleet.folder}/client_key -o UserKnownHostsFile={known} -p {host.port}"
        subprocess.run(
            [
                "rsync",
                "-az",
                "--delete",
                "--exclude=.git",
                "--exclude=.git_release",
                "-e",
                ssh,
                f"{tree}/",
                f"{fleet.user}@127.0.0.1:{host.root}/{target}/",
            ],
            check=True,
        )

    begin = time.monotonic()
    with ThreadPoolExecutor(len(fleet)) as pool:
        list(pool.map(one, fleet))
    return time.monotonic() - begin
