"""Tells the web processes that there may be something for an agent, so that they look at once."""

from __future__ import annotations

from django.db import connection

CHANNEL = "deploypanel_agents"


def ring_agents() -> None:
    """On PostgreSQL a NOTIFY, sent once when the caller's transaction commits; SQLite's listeners need none."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])
