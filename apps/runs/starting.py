"""What the commands that start work share: following it, and the exit status of its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.access.command import Exit, PanelCommand
from apps.runs.follow import follow
from apps.runs.states import RunState

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from apps.runs.models import Run

INTERRUPTED = 130  # as shells say it


class StartingCommand(PanelCommand):
    """A command that may start a run, and follow it."""

    def add_acting_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--follow", action="store_true", help="print the log until the run ends; exit as it ended")
        parser.add_argument(
            "--override", metavar="REASON", default="", help="pass closed hours and freezes; administrators only"
        )
        self.add_as_argument(parser)
        self.add_json_argument(parser)

    def started(self, run: Run, options: dict[str, Any]) -> int:
        """Say which run was started, and follow it if asked to."""
        if options["as_json"]:
            self.print_json({"run": run.pk, "state": run.state, "subject": run.subject_path, "summary": run.summary})
        else:
            self.stdout.write(f"Run #{run.pk} of {run.subject_path}: {run.get_state_display().lower()}. {run.summary}")
        if not options["follow"] or run.state == RunState.WAITING:
            return Exit.DONE
        return self.followed(run, quiet=options["as_json"])

    def followed(self, run: Run, *, quiet: bool = False) -> int:
        """Wait for the end of the run, printing its log; the exit status says how it ended."""
        try:
            return follow(run.pk, self._unsaid if quiet else self._say)
        except KeyboardInterrupt:
            self.stderr.write(f"Run #{run.pk} goes on. To stop it: manage.py runs stop {run.pk}")
            return INTERRUPTED

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _unsaid(self, line: str) -> None:
        """JSON is on standard output: the log would spoil it."""
