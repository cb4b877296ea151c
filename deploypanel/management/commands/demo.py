from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from apps.access.command import PanelCommand
from deploypanel.demo.demo import demo_guide, demo_load, demo_prepare, demo_status
from deploypanel.demo.programs import demo_programs
from deploypanel.supervisor import Supervisor

if TYPE_CHECKING:
    import argparse


class Command(PanelCommand):
    help = "A small fleet on this machine to try the panel with: three SSH servers, three Sesam nodes, an agent."
    examples = """
        manage.py demo load
        manage.py demo status
        manage.py demo start      its hosts and nodes alone; `manage.py panel` starts them too
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("act", choices=("load", "start", "status"))
        self.add_json_argument(parser)

    def work(self, **options: Any) -> None:
        {"load": self._load, "start": self._start, "status": self._status}[options["act"]](options)

    def _load(self, options: dict[str, Any]) -> None:
        demo_load(self.stdout.write)

    def _start(self, options: dict[str, Any]) -> None:
        demo_status()  # says so when there is none
        servers = demo_prepare()
        data = Path(settings.DATA_DIR)
        ports = ", ".join(str(one.port) for one in servers)
        ready = f"The demo's hosts and nodes listen on ports {ports} (Ctrl-C stops them)."
        Supervisor(data, demo_programs(), self.stdout.write, ready=lambda: self.stdout.write(ready)).run()

    def _status(self, options: dict[str, Any]) -> None:
        rows = demo_status()
        if options["as_json"]:
            self.print_json(rows)
            return
        for row in rows:
            self.stdout.write(f"{row['name']}  port {row['port']}  {'up' if row['up'] else 'down'}  {row['disk']}")
        self.stdout.write("\n".join(demo_guide()[1:]))
