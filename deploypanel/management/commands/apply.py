"""`manage.py apply`: makes the database match a declaration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.access.command import PanelCommand
from apps.access.errors import InputError
from deploypanel.declaration.apply import declaration_apply

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(PanelCommand):
    help = "Make hosts, environments, people and their rights match a YAML file. Safe to repeat."
    examples = """\
  manage.py apply fleet.yaml --dry-run      what would change
  manage.py apply fleet.yaml                change it
  manage.py apply fleet.yaml --prune        and remove what the file's sections do not name
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the declaration; - reads it from standard input")
        parser.add_argument("--dry-run", action="store_true", help="print what would change and change nothing")
        parser.add_argument("--prune", action="store_true", help="remove what the sections of the file do not name")
        self.add_json_argument(parser)

    def work(self, **options: Any) -> None:
        data, name, folder = _read(options["file"])
        outcome = declaration_apply(
            data=data,
            file=name,
            folder=folder,
            actor=self.actor(options),
            dry_run=options["dry_run"],
            remove=options["prune"],
        )
        if options["as_json"]:
            self.print_json(outcome.as_json())
        else:
            self.stdout.write("\n".join(outcome.lines()))


def _read(file: str) -> tuple[bytes, str, Path]:
    """The declaration, what to call it, and the folder that its file names are relative to."""
    if file == "-":
        return sys.stdin.buffer.read(), "standard input", Path.cwd()
    path = Path(file)
    try:
        return path.read_bytes(), file, path.parent
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read ({said})", place=file) from None
