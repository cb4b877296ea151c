"""Every examination, in order; what needs the database only when it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.db import DatabaseError, connection

from deploypanel.doctor import agents, database, machine, nodes, processes, settings, subjects
from deploypanel.doctor.finding import Finding

Examination = Callable[[], Iterator[Finding]]

ANYWHERE: tuple[Examination, ...] = (
    machine.programs,
    machine.data_folder,
    machine.disk,
    settings.debug,
    settings.addresses,
    settings.system_checks,
)
WITH_DATABASE: tuple[Examination, ...] = (
    database.sqlite_mode,
    database.time_skew,
    database.secrets,
    processes.processes,
    processes.queue,
    subjects.repositories,
    subjects.hosts,
    subjects.environments,
    nodes.nodes,
    agents.agents,
)


def examine() -> list[Finding]:
    """Everything that is wrong. It changes nothing and needs no running panel."""
    found = [finding for examination in ANYWHERE for finding in examination()]
    try:
        connection.ensure_connection()
        missing = list(database.migrations())
    except DatabaseError as error:
        remedy = "start it, or mend DEPLOYPANEL_DATABASE_URL"
        return [*found, Finding(about="the database", text=f"does not answer: {str(error).strip()}", remedy=remedy)]
    if missing:
        return found + missing
    return found + [finding for examination in WITH_DATABASE for finding in examination()]
