"""`manage.py deploy`: bring a commit to an environment's hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.access.command import Exit
from apps.access.errors import InputError
from apps.environments.host_reads import cluster_named, host_named
from apps.environments.management.acting import ActingCommand, environment_meant
from apps.environments.management.preview_words import preview_lines
from apps.environments.services import deploy_request, preview_request
from apps.runs.models import Cause
from apps.runs.states import RunState

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from apps.access.actor import Actor
    from apps.environments.models import Environment


class Command(ActingCommand):
    help = "Deploy a commit to an environment, or to one of its clusters or hosts."
    examples = """
        manage.py deploy shop/prod --follow                   the environment's branch, watching the log
        manage.py deploy shop/prod --ref v1.2 --cluster blue  a tag, to one cluster
        manage.py deploy shop/prod --dry-run                  what would change; writes nothing anywhere
        manage.py deploy shop/prod --override "incident 42"   although hours are closed
    """

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_acting_arguments(parser)
        parser.add_argument("--ref", default="", help="a branch, tag or commit (default: the environment's branch)")
        target = parser.add_mutually_exclusive_group()
        target.add_argument("--cluster", default="", help="only the hosts of this cluster")
        target.add_argument("--host", default="", help="only this host")
        parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
        parser.add_argument("--when-open", action="store_true", help="where hours are closed, wait until they open")

    def work(self, **options: Any) -> int:
        actor = self.actor(options)
        environment = environment_meant(options["subject"], actor.user)
        target: dict[str, Any] = {
            "cluster": cluster_named(options["cluster"], actor.user) if options["cluster"] else None,
            "host": host_named(options["host"], actor.user) if options["host"] else None,
        }
        if options["dry_run"]:
            return self._preview(environment, actor, target, options)
        deployment = deploy_request(
            environment=environment,
            actor=actor,
            cause=Cause.COMMAND,
            ref=options["ref"],
            override=options["override"],
            when_open=options["when_open"],
            **target,
        )
        assert deployment.run is not None
        return self.started(deployment.run, options)

    def _preview(self, environment: Environment, actor: Actor, target: dict[str, Any], options: dict[str, Any]) -> int:
        if options["when_open"] or options["override"]:
            raise InputError("has no meaning for a preview, which changes nothing.", "--when-open, --override")
        run = preview_request(environment=environment, actor=actor, cause=Cause.COMMAND, ref=options["ref"], **target)
        status = self.followed(run, quiet=not options["follow"])
        run.refresh_from_db()
        if options["as_json"]:
            self.print_json({"run": run.pk, "state": run.state, "summary": run.summary, "preview": run.result})
        elif run.state == RunState.SUCCEEDED:
            self.stdout.write("\n".join(preview_lines(run.result)))
        else:
            self.stderr.write(f"Run #{run.pk}: {run.summary or run.get_state_display()}")
        return status or Exit.DONE
