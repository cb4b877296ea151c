"""`manage.py repos_poll ID…`: one look at these repositories. The clock has it started; people use `repos fetch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.access.command import PanelCommand
from apps.triggers.services import repositories_poll

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(PanelCommand):
    help = "Look once for new commits of polled repositories (started by the clock)."
    examples = "manage.py repos_poll 3 7"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ids", nargs="+", type=int, metavar="ID")

    def work(self, **options: Any) -> None:
        repositories_poll(ids=options["ids"])
