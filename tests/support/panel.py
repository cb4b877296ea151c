"""A real panel in a folder of its own: `manage.py panel` on a free port, with its own database.

def test_something(panel):
    panel.manage("shell", "-c", "…")
    requests.get(panel.url + "/health")
    panel.process("worker").kill()
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from django.conf import settings

from deploypanel.leftovers import ROLE, processes_of
from tests.support.once import made_once
from tests.support.ports import free_port
from tests.support.postgres import ACTIVE, database_copied

ROOT = Path(__file__).resolve().parent.parent.parent
MANAGE = [sys.executable, str(ROOT / "manage.py")]
PASSWORD = "correct horse battery"
ROLES = ("web", "worker", "clock", "demo")


@dataclass
class Panel:
    """One panel. `env` is what its processes get: use it for anything that shall see the same installation."""

    data: Path
    port: int
    env: dict[str, str]
    url: str = ""
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(default_factory=Path)

    def start(self, *arguments: str, wait: bool = True) -> Panel:
        """Run `manage.py panel`; by default until /health says that all of it lives."""
        with self.log.open("ab") as log:
            argv = [*MANAGE, "panel", *arguments]
            self.process = subprocess.Popen(argv, env=self.env, stdout=log, stderr=log, start_new_session=True)
        if wait:
            self.wait_healthy()
        return self

    def wait_healthy(self, limit: float = 90) -> None:
        def is_healthy() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                pytest.fail(f"the panel ended with {self.process.returncode}:\n{self.output()}")
            return self.health().get("status") == "ok"

        wait_for(is_healthy, limit, lambda: f"{self.health()}\n{self.output()}")

    def health(self) -> dict[str, Any]:
        """What /health says; empty while nobody answers."""
        try:
            body: dict[str, Any] = requests.get(f"{self.url}/health", timeout=5).json()
        except requests.RequestException:
            return {}
        return body

    def manage(
        self, *arguments: str, check: bool = True, timeout: float = 120, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of this installation and wait for it."""
        argv, variables = [*MANAGE, *arguments], self.env | env
        done = subprocess.run(argv, env=variables, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode:
            raise AssertionError(f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def python(self, code: str) -> str:
        """What `code` prints in this installation's Django."""
        return self.manage("shell", "--no-imports", "-c", code).stdout

    def processes(self, *roles: str) -> list[psutil.Process]:
        """All living processes of these roles (web, worker, clock, demo, runner)."""
        return [found for found in processes_of(self.data, roles or ROLES) if is_alive(found)]

    def main(self, role: str) -> psutil.Process:
        """The process of that role that the supervisor runs: the cluster's main process for `worker`.

        Waits for it: one that is being started has no environment while it becomes another program.
        """
        assert self.process is not None
        supervisor, found = psutil.Process(self.process.pid), list[psutil.Process]()

        def is_there() -> bool:
            found[:] = [child for child in supervisor.children() if _role(child) == role]
            return len(found) == 1

        wait_for(is_there, 30, lambda: f"{len(found)} processes are the {role}:\n{self.output()}")
        return found[0]

    def workers(self) -> list[psutil.Process]:
        """The cluster's grandchildren: workers, monitor and pusher, in the order they were started."""
        found: list[psutil.Process] = []

        def are_there() -> bool:
            with contextlib.suppress(psutil.NoSuchProcess):
                found[:] = sorted(self.sentinel().children(), key=lambda process: process.pid)
            return len(found) >= settings.WORKERS + 2

        wait_for(are_there, 30, lambda: f"{found}\n{self.output()}")
        return found

    def sentinel(self) -> psutil.Process:
        """The cluster's second process, which starts the others. Waits for it, as a cluster may just have begun."""
        found: list[psutil.Process] = []

        def is_there() -> bool:
            with contextlib.suppress(psutil.NoSuchProcess):
                found[:] = self.main("worker").children()[:1]
            return bool(found)

        wait_for(is_there, 30, self.output)
        return found[0]

    def stop(self, limit: float = 60) -> int:
        """SIGTERM as an operator or systemd would; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(limit)

    def kill(self) -> None:
        """SIGKILL of the supervisor and of everything of this panel on the machine, runners included: a power cut."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for _ in range(5):
            found = processes_of(self.data, [*ROLES, "runner"])
            for process in found:
                _kill(process)
            psutil.wait_procs(found, timeout=1)

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@dataclass(frozen=True)
class Template:
    folder: Path
    url: str


def wait_for(condition: Callable[[], object], limit: float = 30, otherwise: Callable[[], str] = str) -> None:
    """Look every 50 ms until it is so; fail after `limit` seconds with what `otherwise` says."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {limit} s: {otherwise()}")
        time.sleep(0.05)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.fixture(scope="session")
def panel_template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A prepared panel, to be copied: migrating and collecting static files takes seconds."""

    def make(data: Path) -> None:
        url = database_copied(None) if os.environ.get(ACTIVE) else f"sqlite:///{data / 'template.sqlite3'}"
        variables = _environment(data, 1, url)
        code = "from deploypanel.prepare import prepare; prepare(print)"
        subprocess.run([*MANAGE, "shell", "--no-imports", "-c", code], env=variables, check=True, capture_output=True)
        (data / "url").write_text(url)

    data = made_once(tmp_path_factory, "panel-template", make)
    return Template(data, (data / "url").read_text())


@pytest.fixture
def panel_stopped(panel_template: Template, tmp_path: Path) -> Iterator[Panel]:
    """A panel that is not started yet."""
    data, port = tmp_path / "panel", free_port()
    data.mkdir()
    (data / "static").symlink_to(panel_template.folder / "static")
    if os.environ.get(ACTIVE):
        url = database_copied(panel_template.url)
    else:
        shutil.copy(panel_template.url.removeprefix("sqlite:///"), data / "deploypanel.sqlite3")
        url = f"sqlite:///{data / 'deploypanel.sqlite3'}"
    env = _environment(data, port, url)
    panel = Panel(data=data, port=port, env=env, url=f"http://127.0.0.1:{port}", log=tmp_path / "panel.log")
    yield panel
    panel.kill()


@pytest.fixture
def panel(panel_stopped: Panel) -> Panel:
    """A panel that runs: web, workers and clock, healthy. The administrator is `admin` with PASSWORD."""
    return panel_stopped.start()


def _environment(data: Path, port: int, url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEPLOYPANEL_")}
    return kept | {
        "DEPLOYPANEL_DATA": str(data),
        "DEPLOYPANEL_PORT": str(port),
        "DEPLOYPANEL_DATABASE_URL": url,
        "DEPLOYPANEL_SECRET_KEY": "a secret of the tests, long enough to be one",
        "DEPLOYPANEL_KEY_RING": KEY,
        "DEPLOYPANEL_ADMIN_PASSWORD": PASSWORD,
    }


# The same in all processes of a session: they share the template.
KEY = base64.urlsafe_b64encode(b"a key ring of the tests, no more").decode()


def _role(process: psutil.Process) -> str:
    try:
        return process.environ().get(ROLE, "")
    except psutil.Error:
        return ""


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.Error:
        return
