"""`manage.py agent_build`: the agent's program as one file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.access.command import PanelCommand
from apps.access.errors import InputError
from apps.agents.pyz import FILE_NAME, agent_pyz

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(PanelCommand):
    help = "Build the agent's program, one file that runs with Python 3.9 or newer and nothing else installed."
    requires_system_checks = []
    examples = """
        manage.py agent_build
        manage.py agent_build --output /srv/files/deploypanel-agent.pyz
    """

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--output", default=FILE_NAME, metavar="FILE", help=f"where to; default {FILE_NAME}")

    def work(self, **options: Any) -> None:
        path = Path(options["output"])
        data = agent_pyz()
        try:
            path.write_bytes(data)
            path.chmod(0o755)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}.", "--output") from None
        self.stdout.write(f"{path}: {len(data):,} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")
