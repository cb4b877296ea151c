"""Tells the web processes that something of a run is new, so that they read it at once."""

from __future__ import annotations

from django.db import connection

CHANNEL = "deploypanel_runs"


def ring_viewers(*run_ids: int) -> None:
    """On PostgreSQL a NOTIFY with each run's id, sent when the caller's transaction commits.

    SQLite needs none: its tailers watch `PRAGMA data_version`.
    """
    if connection.vendor == "postgresql" and run_ids:
        with connection.cursor() as cursor:
            sql = "SELECT pg_notify(%s, number::text) FROM unnest(%s::bigint[]) AS number"
            cursor.execute(sql, [CHANNEL, list(run_ids)])
