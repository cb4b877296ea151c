"""The database itself refuses to change or remove an audit entry."""

from __future__ import annotations

from typing import Any

from django.db import migrations

MESSAGE = "audit entries are append-only"

SQLITE_ON = (
    f"CREATE TRIGGER audit_no_update BEFORE UPDATE ON access_auditentry "
    f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END",
    f"CREATE TRIGGER audit_no_delete BEFORE DELETE ON access_auditentry "
    f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END",
)
SQLITE_OFF = ("DROP TRIGGER IF EXISTS audit_no_update", "DROP TRIGGER IF EXISTS audit_no_delete")
# TRUNCATE is left to whoever owns the table: it is how a test database is emptied, and no act of the panel's.
POSTGRESQL_ON = (
    f"CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'integrity_constraint_violation'; END $$",
    "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON access_auditentry "
    "FOR EACH ROW EXECUTE FUNCTION audit_append_only()",
)
POSTGRESQL_OFF = (
    "DROP TRIGGER IF EXISTS audit_append_only ON access_auditentry",
    "DROP FUNCTION IF EXISTS audit_append_only()",
)


def _run(editor: Any, sqlite: tuple[str, ...], postgresql: tuple[str, ...]) -> None:
    for statement in sqlite if editor.connection.vendor == "sqlite" else postgresql:
        editor.execute(statement)


def on(apps: Any, editor: Any) -> None:
    _run(editor, SQLITE_ON, POSTGRESQL_ON)


def off(apps: Any, editor: Any) -> None:
    _run(editor, SQLITE_OFF, POSTGRESQL_OFF)


class Migration(migrations.Migration):
    dependencies = [("access", "0001_initial")]

    operations = [migrations.RunPython(on, off)]
