"""What a start brings up to date first: database, static files, the administrator. Repeating it changes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from deploypanel import environment as env

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ADMINISTRATOR = "admin"
MIGRATION_LOCK = 0x6465706C  # PostgreSQL advisory locks are numbers; this one says "depl"
FOLDERS = ("mirrors", "work", "locks")


def prepare(say: Callable[[str], None]) -> bool:
    """Bring everything up to date; True when this was the first start (an administrator was made)."""
    folders_make()
    with _alone():
        if migrations_missing():
            say("Bringing the database up to date.")
            call_command("migrate", interactive=False, verbosity=0)
    static_collect()
    return administrator_make(say)


def folders_make() -> None:
    """The data folder, for its owner only: it holds keys."""
    data = Path(settings.DATA_DIR)
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o700)
    for name in FOLDERS:
        (data / name).mkdir(exist_ok=True)


def migrations_missing() -> list[str]:
    """The migrations that the database has not had yet; raises a database error when it is away."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def static_collect() -> None:
    """Copy static files to where they are served from, unless none has changed since the last time."""
    stamp = Path(settings.STATIC_ROOT) / ".stamp"
    wanted = _static_state()
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return
    call_command("collectstatic", interactive=False, verbosity=0, clear=stamp.exists())
    stamp.write_text(wanted, encoding="ascii")


def administrator_make(say: Callable[[str], None]) -> bool:
    """Make the first superuser, with the given or a generated password; False when there is one already."""
    if User.objects.filter(is_superuser=True).exists():
        return False
    given = env.secret("DEPLOYPANEL_ADMIN_PASSWORD")
    password = given or secrets.token_urlsafe(12)
    User.objects.create_superuser(ADMINISTRATOR, password=password)
    shown = "the one in DEPLOYPANEL_ADMIN_PASSWORD" if given else f"{password}   (shown this once: keep it)"
    say(f"The administrator was made. Name: {ADMINISTRATOR}   Password: {shown}")
    return True


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two machines that start at once must not migrate at once. SQLite has one machine, and the panel its lock."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def _static_state() -> str:
    digest = hashlib.sha256()
    for path in sorted(_static_files()):
        status = path.stat()
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _static_files() -> Iterator[Path]:
    for finder in finders.get_finders():
        for name, storage in finder.list([]):
            yield Path(storage.path(name))
