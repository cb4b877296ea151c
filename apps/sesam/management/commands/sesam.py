"""`manage.py sesam`: nodes from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.access.command import Exit
from apps.access.errors import InputError
from apps.runs.models import Cause, Run
from apps.runs.starting import StartingCommand
from apps.runs.states import ACTIVE, RunState
from apps.sesam.management import offline
from apps.sesam.management.acting import (
    ALL,
    answers_read,
    answers_to,
    node_meant,
    question_lines,
    snapshot_meant,
)
from apps.sesam.management.arguments import arguments_add
from apps.sesam.management.plan_words import missing_lines, plan_lines, plan_of, problem_lines
from apps.sesam.management.restore_words import since_json, since_lines, since_meant
from apps.sesam.management.status_words import status_json, status_line, status_lines
from apps.sesam.models import Sync, SyncAction
from apps.sesam.plan_reads import plan_json
from apps.sesam.selectors import nodes_visible
from apps.sesam.services import (
    node_pause,
    node_resume,
    plan_request,
    restore_request,
    sync_request,
    verify_request,
)

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from apps.access.actor import Actor
    from apps.sesam.models import Node, Snapshot

WOULD_CHANGE = 5  # how a plan exits that is not empty


class Command(StartingCommand):
    help = "Plan, sync, restore and verify Sesam nodes, and tell how they are."
    examples = """
        manage.py sesam plan dev                      0 in sync, 5 when something would change
        manage.py sesam sync dev --follow             make it so, watching the log
        manage.py sesam sync dev --confirm removals=12
        manage.py sesam restore dev                   what it had before the last sync
        manage.py sesam status                        all nodes; with a name, its snapshots too
        manage.py sesam verify --path . --environment ci      for pipelines: no database, no node
        manage.py sesam import-env old.env > nodes.yaml       for manage.py apply
    """
    # A pipeline verifies a folder where there is no database; what the panel needs, `panel` and `doctor` check.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        arguments_add(self, parser)

    def work(self, **options: Any) -> int | None:
        act = options["act"].replace("-", "_")
        if act == "import_env":
            return offline.env_print(self, options)
        if act == "verify" and options["path"] is not None:
            return offline.folder_verify(self, options)
        status: int | None = getattr(self, f"_{act}")(options, self.actor(options))
        return status

    def _plan(self, options: dict[str, Any], actor: Actor) -> int:
        node = node_meant(options["node"], actor.user)
        sync, status = self._looked(
            plan_request(node=node, actor=actor, cause=Cause.COMMAND, ref=options["ref"]), options
        )
        plan = plan_of(sync)
        if options["as_json"]:
            self.print_json(plan_json(sync, plan))
        else:
            self.stdout.write("\n".join(plan_lines(sync, plan)))
        if status:
            self._say_end(sync)
            return status
        return Exit.DONE if plan is not None and plan.is_empty else WOULD_CHANGE

    def _sync(self, options: dict[str, Any], actor: Actor) -> int:
        if options["dry_run"]:
            return self._dry_run(options, actor)
        node = node_meant(options["node"], actor.user)
        confirmed = self._answers(options, node, actor)
        sync = sync_request(
            node=node,
            actor=actor,
            cause=Cause.COMMAND,
            ref=options["ref"],
            override=options["override"],
            when_open=options["when_open"],
            confirmed=confirmed,
            resend_secrets=options["resend_secrets"],
        )
        return self._started(sync, options)

    def _dry_run(self, options: dict[str, Any], actor: Actor) -> int:
        _nothing_written(options, "confirm", "when_open", "override", "resend_secrets")
        return self._plan(options, actor)

    def _restore(self, options: dict[str, Any], actor: Actor) -> int:
        node = node_meant(options["node"], actor.user)
        snapshot = snapshot_meant(node, options["snapshot"])
        if options["dry_run"]:
            return self._restore_dry_run(snapshot, options)
        if options["confirm"] == [ALL]:
            last = Sync.objects.filter(node=node, restored=snapshot).order_by("-id").first()
            confirmed = self._yes(last.questions if last else [], options)
        else:
            confirmed = answers_read(options["confirm"])
        sync = restore_request(
            node=node,
            actor=actor,
            cause=Cause.COMMAND,
            snapshot=snapshot,
            override=options["override"],
            confirmed=confirmed,
        )
        return self._started(sync, options)

    def _restore_dry_run(self, snapshot: Snapshot, options: dict[str, Any]) -> int:
        _nothing_written(options, "confirm", "override", "follow")
        since = since_meant(snapshot)
        if options["as_json"]:
            self.print_json(since_json(snapshot, since))
        else:
            self.stdout.write("\n".join(since_lines(snapshot, since)))
        return Exit.DONE if since.is_nothing else WOULD_CHANGE

    def _verify(self, options: dict[str, Any], actor: Actor) -> int:
        if not options["node"]:
            raise InputError("name a node, or a folder with --path.", "NODE")
        node = node_meant(options["node"], actor.user)
        sync, status = self._looked(
            verify_request(node=node, actor=actor, cause=Cause.COMMAND, ref=options["ref"]), options
        )
        if options["as_json"]:
            found = {"node": node.name, "ref": sync.ref, "commit": sync.commit, "run": sync.run_number}
            self.print_json(found | {"state": sync.state, "problems": sync.problems, "missing": sync.missing})
        else:
            for line in (*problem_lines(sync.problems), *missing_lines(sync.missing)):
                self.stdout.write(line)
            self._say_end(sync)
        return status

    def _status(self, options: dict[str, Any], actor: Actor) -> None:
        whole = bool(options["node"])
        nodes = [node_meant(options["node"], actor.user)] if whole else list(nodes_visible(actor.user))
        active = Run.objects.filter(subject__in=[node.pk for node in nodes], state__in=ACTIVE)
        runs = dict(active.values_list("subject_id", "pk"))
        if options["as_json"]:
            found = [status_json(node, runs.get(node.pk), whole=whole) for node in nodes]
            self.print_json(found[0] if whole else found)
            return
        for node in nodes:
            run = runs.get(node.pk)
            self.stdout.write("\n".join(status_lines(node, run)) if whole else status_line(node, run))
        if not nodes:
            self.stdout.write("There are no nodes that may be seen.")

    def _pause(self, options: dict[str, Any], actor: Actor) -> None:
        node = node_meant(options["node"], actor.user)
        node_pause(node=node, actor=actor, reason=options["reason"])
        self._switched(node, options)

    def _resume(self, options: dict[str, Any], actor: Actor) -> None:
        node = node_meant(options["node"], actor.user)
        node_resume(node=node, actor=actor, reason=options["reason"])
        self._switched(node, options)

    def _switched(self, node: Node, options: dict[str, Any]) -> None:
        node.refresh_from_db()
        if options["as_json"]:
            self.print_json(status_json(node, None, whole=False))
        else:
            self.stdout.write(f"{node.name}: automatic applying {'is paused' if node.auto_paused_at else 'goes on'}.")

    def _answers(self, options: dict[str, Any], node: Node, actor: Actor) -> dict[str, int]:
        """What `--confirm` says; `all` plans first, so that what is confirmed is what was shown."""
        if options["confirm"] != [ALL]:
            return answers_read(options["confirm"])
        quiet = {**options, "follow": False}
        sync, _ = self._looked(plan_request(node=node, actor=actor, cause=Cause.COMMAND, ref=options["ref"]), quiet)
        return self._yes(sync.questions, options)

    def _yes(self, questions: list[dict[str, Any]], options: dict[str, Any]) -> dict[str, int]:
        lines = question_lines(questions)[:-1] or ["Nothing is asked."]
        for line in lines:
            (self.stderr if options["as_json"] else self.stdout).write(line)
        return answers_to(questions)

    def _started(self, sync: Sync, options: dict[str, Any]) -> int:
        assert sync.run is not None
        status = self.started(sync.run, options)
        sync.refresh_from_db()
        if status and not options["as_json"]:
            for line in question_lines(sync.questions):
                self.stderr.write(line)
        return status

    def _looked(self, sync: Sync, options: dict[str, Any]) -> tuple[Sync, int]:
        """The run's end is awaited, for it is short and what it finds is the answer."""
        assert sync.run is not None
        status = self.followed(sync.run, quiet=not options["follow"] or options["as_json"])
        found = Sync.objects.select_related("run", "before", "wanted").get(pk=sync.pk)
        return found, status

    def _say_end(self, sync: Sync) -> None:
        run = sync.run
        failed = run is not None and run.state != RunState.SUCCEEDED
        if run is not None and (failed or sync.action == SyncAction.VERIFY):
            (self.stderr if failed else self.stdout).write(f"Run #{run.pk}: {run.summary or run.get_state_display()}")


def _nothing_written(options: dict[str, Any], *names: str) -> None:
    """Raise InputError where one of these, which are for writing, is given."""
    given = [f"--{name.replace('_', '-')}" for name in names if options[name]]
    if given:
        raise InputError("has no meaning for a plan, which changes nothing.", ", ".join(given))
