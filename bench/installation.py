"""A real panel with a repository and a fleet, declared as an operator would, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import yaml
from cryptography.fernet import Fernet

from tests.support.panel import Panel
from tests.support.ports import free_port
from tests.support.postgres import private_postgres
from tests.support.sshd import Fleet, fleet_start

if TYPE_CHECKING:
    from collections.abc import Iterator

MANAGE = [sys.executable, str(Path(__file__).resolve().parent.parent / "manage.py")]
PASSWORD = "a password of the bench"
SECRET = "a secret of the bench"


@dataclass
class Installation:
    """`panel` runs, `fleet` listens, `code` is the working copy that environments deploy from."""

    panel: Panel
    fleet: Fleet
    folder: Path

    @property
    def code(self) -> Path:
        return self.folder / "code"

    def declare(self, **environments: dict[str, Any]) -> None:
        """Apply a declaration with the fleet, the repository `bench` and these environments."""
        hosts = [
            {
                "name": host.name,
                "address": "127.0.0.1",
                "port": host.port,
                "user": self.fleet.user,
                "ssh_key": "fleet",
                "host_key": host.host_key,
            }
            for host in self.fleet
        ]
        repository = {"name": "bench", "url": f"file://{self.code}", "webhook_secret": SECRET}
        listed = [{"repository": "bench", "name": name, "branch": "main"} | more for name, more in environments.items()]
        document = {
            "ssh_keys": [{"name": "fleet", "private_key_file": str(self.fleet.folder / "client_key")}],
            "hosts": hosts,
            "clusters": [{"name": "all", "hosts": [host["name"] for host in hosts]}],
            "repositories": [repository],
            "environments": listed,
        }
        path = self.folder / "bench.yaml"
        path.write_text(yaml.safe_dump(document))
        self.panel.manage("apply", str(path))

    def deploy(self, subject: str, **env: str) -> dict[str, Any]:
        """Deploy, wait for the end, and give the run as `runs show --json` tells it. Raises when it failed."""
        argv = [*MANAGE, "deploy", subject, "--follow", "--override", "measuring"]
        done = subprocess.run(argv, env=self.panel.env | env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the deployment failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        newest = json.loads(self.panel.manage("runs", "list", "--json").stdout)[0]
        return dict(newest)

    def session(self) -> requests.Session:
        """A signed-in administrator."""
        session = requests.Session()
        page = f"{self.panel.url}/admin/login/"
        session.get(page, timeout=30)
        form = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
        answer = session.post(page, form, headers={"Referer": page}, timeout=30)
        if "sessionid" not in session.cookies:
            raise RuntimeError(f"signing in failed: {answer.status_code}")
        return session


@contextlib.contextmanager
def installation(hosts: int, database: str) -> Iterator[Installation]:
    """Everything, started; all of it is gone afterwards. `database` is sqlite or postgresql."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deploypanel-bench-")))
        url = stack.enter_context(private_postgres()) if database == "postgresql" else ""
        # Twenty hosts have twenty disks; here they would share the panel's, and wait for each other's writes.
        shm = Path("/dev/shm")
        disks = tempfile.TemporaryDirectory(prefix="deploypanel-bench-", dir=shm if shm.is_dir() else None)
        fleet = fleet_start(Path(stack.enter_context(disks)) / "fleet", hosts)
        stack.callback(fleet.stop)
        panel = panel_prepared(folder, url)
        stack.callback(panel.kill)
        yield Installation(panel, fleet, folder)


def panel_prepared(folder: Path, url: str = "") -> Panel:
    """A panel in `folder` with an empty database (`url`; SQLite unless given), not started."""
    data, port = folder / "panel", free_port()
    data.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEPLOYPANEL_")}
    env = kept | {
        "DEPLOYPANEL_DATA": str(data),
        "DEPLOYPANEL_PORT": str(port),
        "DEPLOYPANEL_DATABASE_URL": url or f"sqlite:///{data / 'deploypanel.sqlite3'}",
        "DEPLOYPANEL_SECRET_KEY": "a secret key of the bench, long enough to be one",
        "DEPLOYPANEL_KEY_RING": Fernet.generate_key().decode(),
        "DEPLOYPANEL_ADMIN_PASSWORD": PASSWORD,
    }
    panel = Panel(data=data, port=port, env=env, url=f"http://127.0.0.1:{port}", log=folder / "panel.log")
    panel.manage("shell", "--no-imports", "-c", "from deploypanel.prepare import prepare; prepare(print)")
    return panel


def seconds(run: dict[str, Any], begin: str = "started_at") -> float:
    """How long a run took, from `begin` to its end."""
    from datetime import datetime

    return (datetime.fromisoformat(run["ended_at"]) - datetime.fromisoformat(run[begin])).total_seconds()


def settle_down() -> None:
    """Let the machine finish what the last measurement left behind."""
    time.sleep(1)
