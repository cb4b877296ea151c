"""`manage.py environments`: what is deployed where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.access.command import PanelCommand
from apps.environments.host_reads import DIFFERING_AFTER
from apps.environments.selectors import environments_visible
from apps.runs.models import Run
from apps.runs.states import ACTIVE

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from apps.environments.models import Environment


class Command(PanelCommand):
    help = "List environments with what is deployed on them."
    examples = """
        manage.py environments list
        manage.py environments list --as alice --json
    """

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
        listing = acts.add_parser("list", help="all environments that may be seen, by repository")
        self.add_json_argument(listing)
        self.add_as_argument(listing)

    def work(self, **options: Any) -> None:
        found = environments_visible(self.actor(options).user).select_related("hours").prefetch_related("clusters")
        runs = dict(
            Run.objects.filter(subject__in=[one.pk for one in found], state__in=ACTIVE).values_list("subject_id", "pk")
        )
        if options["as_json"]:
            self.print_json([as_json(one, runs.get(one.pk)) for one in found])
            return
        for one in found:
            self.stdout.write(_line(one, runs.get(one.pk)))
        if not found:
            self.stdout.write("There are no environments that may be seen.")


def as_json(environment: Environment, run: int | None) -> dict[str, Any]:
    """What scripts get of an environment."""
    return {
        "subject": environment.path,
        "repository": environment.repository.name,
        "name": environment.name,
        "branch": environment.branch,
        "method": environment.method,
        "path": environment.target_path,
        "clusters": sorted(cluster.name for cluster in environment.clusters.all()),
        "hours": environment.hours.name if environment.hours else None,
        "auto_deploy": environment.auto_deploy,
        "auto_paused": environment.auto_paused_at is not None,
        "deployed_commit": environment.deployed_commit or None,
        "deployed_at": environment.deployed_at,
        "differs": _differs(environment),
        "status_read_at": environment.status_read_at,
        "run": run,
    }


def _line(environment: Environment, run: int | None) -> str:
    commit = environment.deployed_commit[:10] or "nothing"
    at = f"{timezone.localtime(environment.deployed_at):%Y-%m-%d %H:%M}" if environment.deployed_at else ""
    marks = [
        f"run #{run}" if run else "",
        "auto" if environment.auto_deploy and not environment.auto_paused_at else "",
        "auto paused" if environment.auto_deploy and environment.auto_paused_at else "",
        "hosts differ" if _differs(environment) else "",
    ]
    told = ", ".join(mark for mark in marks if mark)
    return f"{environment.path:<28} {commit:<11} {at:<17} {environment.branch:<16} {told}".rstrip()


def _differs(environment: Environment) -> bool:
    since = environment.differs_since
    return since is not None and timezone.now() - since > DIFFERING_AFTER
