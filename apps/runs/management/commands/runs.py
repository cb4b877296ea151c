"""Runs on the command line: what there is, what it says, and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.access.command import Exit, PanelCommand
from apps.access.errors import InputError, NotFound
from apps.access.selectors import subject_named
from apps.runs.follow import follow, show
from apps.runs.models import Run
from apps.runs.selectors import runs_recent, runs_visible
from apps.runs.services import run_stop
from apps.runs.states import RunState

if TYPE_CHECKING:
    from datetime import datetime

    from django.core.management.base import CommandParser

INTERRUPTED = 130  # as shells say it


class Command(PanelCommand):
    help = "List runs, show or follow the log of one, stop one."
    examples = """
        manage.py runs list --subject shop/prod --limit 5 --json
        manage.py runs follow 42
        manage.py runs stop 42
    """

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
        listing = acts.add_parser("list", help="the newest runs first")
        listing.add_argument("--subject", default="", help="only of this environment, node, trigger or repository")
        listing.add_argument("--state", default="", choices=["", *RunState.values], metavar="STATE")
        listing.add_argument("--limit", type=int, default=20, help="how many at most (default: 20)")
        self.add_json_argument(listing)
        for name, text in (
            ("show", "one run and the log so far"),
            ("follow", "the log as it is written, until the run ends; the exit status says how"),
            ("stop", "stop a run, in whatever phase it is"),
        ):
            act = acts.add_parser(name, help=text)
            act.add_argument("run", type=int, help="the run's number")
            if name == "show":
                self.add_json_argument(act)
            self.add_as_argument(act)
        self.add_as_argument(listing)

    def work(self, **options: Any) -> int | None:
        status: int | None = getattr(self, f"_{options['act']}")(options)
        return status

    def _list(self, options: dict[str, Any]) -> None:
        if options["limit"] < 1:
            raise InputError("at least 1 is needed.", "--limit")
        user = self.actor(options).user
        subject = subject_named(options["subject"], user).pk if options["subject"] else None
        runs = runs_recent(user, limit=options["limit"], subject_id=subject, state=options["state"])
        if options["as_json"]:
            self.print_json([as_json(run) for run in runs])
            return
        for run in runs:
            began = _words(run.started_at or run.requested_at)
            line = f"#{run.pk:<6} {run.state:<9} {began}  {run.kind:<9} {run.subject_path:<24} {run.requested_name}"
            self.stdout.write(f"{line}  {run.summary}".rstrip())

    def _show(self, options: dict[str, Any]) -> None:
        run = self._named(options)
        if options["as_json"]:
            self.print_json(as_json(run) | {"summary": run.summary, "result": run.result, "params": run.params})
            return
        self.stdout.write(f"Run #{run.pk}: {run.kind} of {run.subject_path or 'nothing'}, {run.state}. {run.summary}")
        self.stdout.write(f"Asked for by {run.requested_name} ({run.cause}) at {_words(run.requested_at)}.")
        show(run.pk, self.stdout.write)

    def _follow(self, options: dict[str, Any]) -> int:
        run = self._named(options)
        try:
            return follow(run.pk, self._say)
        except KeyboardInterrupt:
            self.stderr.write(f"Run #{run.pk} goes on. To stop it: manage.py runs stop {run.pk}")
            return INTERRUPTED

    def _stop(self, options: dict[str, Any]) -> int:
        run = run_stop(run=self._named(options), actor=self.actor(options))
        self.stdout.write(f"Run #{run.pk}: {run.get_state_display().lower()}.")
        return Exit.DONE

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _named(self, options: dict[str, Any]) -> Run:
        """The run of that number, if the person of --as may see it; raises NotFound."""
        user = self.actor(options).user
        runs = Run.objects.all() if user is None else runs_visible(user)
        run = runs.select_related("subject").filter(pk=options["run"]).first()
        if run is None:
            raise NotFound(f"There is no run #{options['run']}.")
        return run


def as_json(run: Run) -> dict[str, Any]:
    """What scripts get of a run."""
    return {
        "id": run.pk,
        "kind": run.kind,
        "subject": run.subject_path,
        "state": run.state,
        "cause": run.cause,
        "requested_by": run.requested_name,
        "requested_at": run.requested_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "summary": run.summary,
    }


def _words(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}"
