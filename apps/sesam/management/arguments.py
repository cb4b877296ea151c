"""What `manage.py sesam` can be asked, act by act."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from apps.sesam.models import Layout, Stage

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction

    from apps.runs.starting import StartingCommand

REF = "a branch, tag or commit (default: what the node follows)"


def arguments_add(command: StartingCommand, parser: ArgumentParser) -> None:
    """A parser for each act; those that touch the panel's rows take `--as` and `--json` like every command."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    looking = [_plan(acts), _verify(acts), _status(acts)]
    switching = [_pause(acts), _resume(acts)]
    for act in (*looking, *switching):
        command.add_as_argument(act)
        command.add_json_argument(act)
    for act in (_sync(acts), _restore(acts)):
        command.add_acting_arguments(act)  # type: ignore[arg-type]  # Django's own class adds nothing to this
    _import_env(acts)


def _plan(acts: _SubParsersAction[ArgumentParser]) -> ArgumentParser:
    plan = acts.add_parser("plan", help="what a sync would change; 0 in sync, 5 when something would change")
    _node(plan)
    plan.add_argument("--ref", default="", help=REF)
    plan.add_argument("--follow", action="store_true", help="print the log too")
    return plan


def _sync(acts: _SubParsersAction[ArgumentParser]) -> ArgumentParser:
    sync = acts.add_parser("sync", help="make the node equal to what Git holds")
    _node(sync)
    sync.add_argument("--ref", default="", help=REF)
    sync.add_argument(
        "--dry-run", action="store_true", help="show what would be done, and do nothing: the same as plan"
    )
    sync.add_argument("--when-open", action="store_true", help="where hours are closed, wait until they open")
    sync.add_argument("--resend-secrets", action="store_true", help="send all secrets, although nothing else changed")
    _confirm(sync, "all: plan first, and say yes to what that asks")
    return sync


def _restore(acts: _SubParsersAction[ArgumentParser]) -> ArgumentParser:
    restore = acts.add_parser("restore", help="put back what the node had; nothing is applied by itself until resumed")
    _node(restore)
    restore.add_argument("--snapshot", type=int, metavar="NUMBER", help="as status lists them (default: the newest)")
    restore.add_argument(
        "--dry-run", action="store_true", help="show what would come back, and do nothing; 5 when something would"
    )
    _confirm(restore, "all: what the last attempt to restore this snapshot asked")
    return restore


def _verify(acts: _SubParsersAction[ArgumentParser]) -> ArgumentParser:
    verify = acts.add_parser("verify", help="check what Git holds, or a folder here; the node is not asked")
    verify.add_argument("node", metavar="NODE", nargs="?", default="", help="the node; not with --path")
    verify.add_argument("--ref", default="", help=REF)
    verify.add_argument("--follow", action="store_true", help="print the log too")
    folder = verify.add_argument_group("a folder, without database and node")
    folder.add_argument("--path", type=Path, metavar="FOLDER", help="the folder that has node/, or the node's own")
    folder.add_argument("--environment", choices=Stage.values, default="", help="whose variables and whitelist count")
    folder.add_argument("--layout", choices=Layout.values, default="", help="how it is laid out (default: as it looks)")
    folder.add_argument("--variables", nargs="+", default=[], metavar="FILE", help="variables files, or none")
    folder.add_argument("--whitelist", default="", metavar="FILE", help="the whitelist, or none")
    return verify


def _status(acts: _SubParsersAction[ArgumentParser]) -> ArgumentParser:
    status = acts.add_parser("status", help="what the panel knows of all nodes, or all of one")
    status.add_argument("node", metavar="NODE", nargs="?", default="", help="this one alone, with its snapshots")
    return status


def _pause(acts: _SubParsersAction[ArgumentParser]) -> ArgumentParser:
    pause = acts.add_parser("pause", help="apply nothing by itself until resumed")
    _node(pause)
    pause.add_argument("--reason", required=True, help="for those who find it paused")
    return pause


def _resume(acts: _SubParsersAction[ArgumentParser]) -> ArgumentParser:
    resume = acts.add_parser("resume", help="apply by itself again")
    _node(resume)
    resume.add_argument("--reason", default="")
    return resume


def _import_env(acts: _SubParsersAction[ArgumentParser]) -> None:
    act = acts.add_parser("import-env", help="print a declaration from the environment variables of the older tools")
    act.add_argument("file", metavar="FILE", help="KEY=VALUE lines, or the JSON of a system; - is standard input")
    act.add_argument("--name", default="", help="what the node is to be called")
    act.add_argument("--repository-url", default="", metavar="URL", help="where the variables do not name it")
    act.add_argument("--with-secrets", action="store_true", help="print secrets too, instead of files to put them in")


def _node(parser: ArgumentParser) -> None:
    parser.add_argument("node", metavar="NODE", help="the node's name")


def _confirm(parser: ArgumentParser, every: str) -> None:
    parser.add_argument(
        "--confirm",
        action="append",
        default=[],
        metavar="KIND=NUMBER",
        help=f"answer what is asked before much is removed: removals=12, everything=40, metadata=1; {every}",
    )
