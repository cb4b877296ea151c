"""What every test stands on: its own data folder, its own database, cheap passwords, and the shared fixtures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connection
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

SUPPORT = ("order", "postgres", "panel", "sshd", "gitrepo", "cast", "site")
# How long an example takes tells of the machine and what else it does.
hypothesis_settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("unhurried")
pytest_plugins = [f"tests.support.{name}" for name in SUPPORT if find_spec(f"tests.support.{name}")]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory, worker_id_or_master: str) -> None:
    """SQLite in a file, as in production (WAL, IMMEDIATE), so that a test's child processes can open it too."""
    database = django_settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        database["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "test.sqlite3")
    elif worker_id_or_master:
        database["TEST"]["NAME"] = f"test_deploypanel_{worker_id_or_master}"


@pytest.fixture(scope="session")
def worker_id_or_master() -> str:
    """The name of this pytest-xdist worker; empty when there is just one."""
    return os.environ.get("PYTEST_XDIST_WORKER", "")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """Processes started by a test (runners, commands) find the test's database by the environment."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{database['NAME']}"
    else:
        url = "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**database)
    if connection.vendor == "sqlite":
        _allow_flush()
    else:
        _let_others_give_way()
    before = os.environ.get("DEPLOYPANEL_DATABASE_URL")
    os.environ["DEPLOYPANEL_DATABASE_URL"] = url
    yield
    if before is None:
        del os.environ["DEPLOYPANEL_DATABASE_URL"]
    else:
        os.environ["DEPLOYPANEL_DATABASE_URL"] = before


def _allow_flush() -> None:
    """The audit trail refuses DELETE, which is how Django empties SQLite's tables after a test with transactions."""
    flush = connection.ops.execute_sql_flush
    query = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = 'audit_no_delete'"

    def flush_past_audit(statements: list[str]) -> None:
        with connection.cursor() as cursor:
            trigger = cursor.execute(query).fetchone()
            cursor.execute("DROP TRIGGER IF EXISTS audit_no_delete")
        flush(statements)
        if trigger:
            with connection.cursor() as cursor:
                cursor.execute(trigger[0])

    connection.ops.execute_sql_flush = flush_past_audit  # type: ignore[method-assign]


def _let_others_give_way() -> None:
    """Tables are emptied while a server of the tests may be in the middle of a transaction: the deadlock is its."""
    flush = connection.ops.execute_sql_flush

    def flush_patiently(statements: list[str]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET deadlock_timeout = '30s'")  # whoever looks first is who is ended
            flush(statements)
            cursor.execute("RESET deadlock_timeout")

    connection.ops.execute_sql_flush = flush_patiently  # type: ignore[method-assign]


@pytest.fixture(scope="session", autouse=True)
def static_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A live server starts before any test's own data folder is there, and WhiteNoise warns of a missing folder."""
    django_settings.STATIC_ROOT = tmp_path_factory.mktemp("static")


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, settings: object, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own; also for the processes it starts, which get the same keys."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "static").mkdir()  # WhiteNoise warns of a missing folder
    settings.DATA_DIR = data  # type: ignore[attr-defined]
    settings.STATIC_ROOT = data / "static"  # type: ignore[attr-defined]
    settings.MIRROR_DIR = data / "mirrors"  # type: ignore[attr-defined]
    settings.WORK_DIR = data / "work"  # type: ignore[attr-defined]
    monkeypatch.setenv("DEPLOYPANEL_DATA", str(data))
    monkeypatch.setenv("DEPLOYPANEL_SECRET_KEY", django_settings.SECRET_KEY)
    monkeypatch.setenv("DEPLOYPANEL_KEY_RING", django_settings.KEY_RING)
    return data


@pytest.fixture(autouse=True)
def quick_settings(settings: object) -> None:
    """Hashing passwords slowly and looking static files up in a manifest are not what tests are about."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]
    settings.STORAGES = settings.STORAGES | {  # type: ignore[attr-defined]
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
