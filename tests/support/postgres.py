"""A private PostgreSQL for `pytest --postgres`: in a folder of its own, on a free loopback port, gone at the end.

`pytest --postgres` runs itself once more with DEPLOYPANEL_DATABASE_URL set, so that Django's settings, and
every process that a test starts, see the same server. Only tests marked `database` are selected there.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port

ACTIVE = "DEPLOYPANEL_TEST_POSTGRES"
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "logging_collector": "off",
    "log_min_messages": "error",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", action="store_true", help="run the database tests on a private PostgreSQL")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    if not config.getoption("--postgres") or os.environ.get(ACTIVE):
        return None
    with private_postgres() as url:
        environment = os.environ | {ACTIVE: "1", "DEPLOYPANEL_DATABASE_URL": url}
        arguments = [sys.executable, "-m", "pytest", *config.invocation_params.args]
        return subprocess.call(arguments, env=environment, cwd=config.invocation_params.dir)


def pytest_report_header(config: pytest.Config) -> str:
    return f"database: {'private PostgreSQL' if config.getoption('--postgres') else 'SQLite'}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--postgres"):
        return
    chosen = [item for item in items if item.get_closest_marker("database")]
    config.hook.pytest_deselected(items=[item for item in items if not item.get_closest_marker("database")])
    items[:] = chosen


@contextlib.contextmanager
def private_postgres() -> Iterator[str]:
    """Start a server and yield the address of its database `deploypanel`; stop and delete it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="deploypanel-pg-", dir="/tmp"))
    password, port = secrets.token_hex(12), free_port()
    try:
        server = _start(folder, password, port)
        try:
            url = f"postgres://deploypanel:{password}@127.0.0.1:{port}/deploypanel"
            _wait_and_create(url, server, folder)
            yield url
        finally:
            server.terminate()  # "smart" would wait for connections; SIGINT is "fast"
            server.send_signal(2)
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, password: str, port: int) -> subprocess.Popen[bytes]:
    password_file, data, owner = folder / "password", folder / "data", _owner()
    password_file.write_text(password)
    if owner:
        for path in (folder, password_file):
            os.chown(path, owner["user"], owner["group"])
    initdb = [_program("initdb"), "-D", str(data), "-U", "deploypanel", "-A", "scram-sha-256"]
    initdb += ["--pwfile", str(password_file), "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
    done = subprocess.run(initdb, capture_output=True, cwd="/", check=False, **owner)
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stderr.decode(errors='replace')}")
    options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    argv = [_program("postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder), *options]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(argv, stdout=log, stderr=log, cwd="/", start_new_session=True, **owner)


def _wait_and_create(url: str, server: subprocess.Popen[bytes], folder: Path) -> None:
    import psycopg

    deadline = time.monotonic() + 60
    while True:
        try:
            with psycopg.connect(url.removesuffix("deploypanel") + "postgres", autocommit=True) as connection:
                connection.execute("CREATE DATABASE deploypanel")
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()}") from None
            time.sleep(0.1)


def _program(name: str) -> str:
    """The newest of Debian's versions, or whatever is on PATH."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    for folder in sorted(folders, key=lambda path: float(path.parent.name), reverse=True):
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if not found:
        raise RuntimeError(f"{name} is missing: install PostgreSQL (Debian: apt-get install postgresql).")
    return found


def _owner() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as Debian's `postgres`, else as nobody."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("PostgreSQL refuses to run as root, and there is no user postgres to run it as.")


def database_copied(template: str | None) -> str:
    """The address of a new database on the private server: empty, or a copy of the one at `template`."""
    import psycopg

    server = os.environ["DEPLOYPANEL_DATABASE_URL"].rpartition("/")[0]
    name = f"copy_{secrets.token_hex(6)}"
    source = f" TEMPLATE {template.rpartition('/')[2]}" if template else ""
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}{source}")
    return f"{server}/{name}"
