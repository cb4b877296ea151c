"""Tells the web processes that something of a run is new, so that they read it at once."""

from __future__ import annotations

from django.db import connection

CHANNEL = "deploypanel_runs"


def ring_viewers(run_id: int) -> None:
    """On PostgreSQL a NOTIFY with the run's id, sent when the caller's transaction commits.

    SQLite needs none: its tailers watch `PRAGMA data_version`.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(run_id)])
