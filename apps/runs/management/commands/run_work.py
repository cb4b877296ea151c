"""The runner process. Started by the queue, not by people."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.runs.runner import run_carry_out


class Command(BaseCommand):
    help = "Carry out one queued run in this process (started by the panel itself; “runs” is for people)."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", type=int, help="the run's number")

    def handle(self, *args: Any, **options: Any) -> None:
        status = 1
        try:
            run_carry_out(options["run"])
            status = 0
        finally:
            if sys.exc_info()[0] is not None:
                sys.excepthook(*sys.exc_info())
            sys.stdout.flush()
            sys.stderr.flush()
            # Threads of the work's may hang in a connection; the run is over, so is this process.
            os._exit(status)
