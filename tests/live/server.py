"""A real web process, as the panel starts it: uvicorn, in a process of its own, on the test's database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from tests.support.once import made_once
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class WebServer:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def socket(self, run_id: int, after: int = 0) -> str:
        return f"ws://localhost:{self.port}/ws/runs/{run_id}/?after={after}"

    def stop(self, timeout: float = 60) -> float:
        """Ask it to end as the supervisor does; the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout)
        return time.monotonic() - began


def session_of(user: User) -> str:
    """The key of a session in which `user` is signed in."""
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def server_start(data: Path, port: int = 0, ready: str = "/admin/login/") -> WebServer:
    port, log = port or free_port(), data / "web.log"
    argv = [sys.executable, "-m", "uvicorn", "deploypanel.asgi:application", "--port", str(port)]
    argv += ["--log-level", "warning", "--timeout-graceful-shutdown", "20"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            argv, cwd=ROOT, env=os.environ | {"DEPLOYPANEL_ROLE": "web"}, stdout=file, stderr=file
        )
    server = WebServer(process, port, log)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            requests.get(f"{server.url}{ready}", timeout=20)
        except (requests.ConnectionError, requests.Timeout):  # it reads all of the panel for its first answer
            time.sleep(0.05)
        else:
            return server
    process.kill()
    process.wait()
    raise AssertionError(f"the server does not answer: {log.read_text()}")


@pytest.fixture(scope="session")
def collected_static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The static files as an installation has them: hashed, compressed, with a manifest."""

    def make(data: Path) -> None:
        argv = [sys.executable, "manage.py", "collectstatic", "--noinput", "-v0"]
        subprocess.run(argv, cwd=ROOT, env=os.environ | {"DEPLOYPANEL_DATA": str(data)}, check=True)

    return made_once(tmp_path_factory, "collected", make) / "static"


@pytest.fixture
def web_server(transactional_db: None, data_folder: Path, collected_static: Path) -> Iterator[WebServer]:
    (data_folder / "static").rmdir()
    (data_folder / "static").symlink_to(collected_static)
    server = server_start(data_folder)
    yield server
    if server.process.poll() is None:
        server.stop()
