"""`manage.py dump`: the database as a declaration."""

from __future__ import annotations

from typing import Any

from apps.access.command import PanelCommand
from deploypanel.declaration.dump import declaration_dump


class Command(PanelCommand):
    help = "Print this installation's declaration: apply it again and there is nothing to change. Secrets are left out."
    examples = """\
  manage.py dump > fleet.yaml
"""

    def work(self, **options: Any) -> None:
        self.stdout.write(declaration_dump(), ending="")
