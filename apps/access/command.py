"""What every command of the panel shares: exit statuses, `--as USER`, `--json`, examples in `--help`.

Exit statuses: 0 done, 1 the run failed, 2 bad usage or unknown name, 3 refused (with every reason),
4 stopped or lost.
"""

from __future__ import annotations

import argparse
import enum
import getpass
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, DjangoHelpFormatter
from django.core.serializers.json import DjangoJSONEncoder

from apps.access.actor import Actor, Door
from apps.access.errors import Conflict, InputError, PanelError, Refused
from apps.access.selectors import user_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.core.management.base import CommandParser


# All but line ends, tabulators, and the sequences of colours.
_CONTROL = re.compile(r"(?!\x1b\[[0-9;]*m)[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Exit(enum.IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    LOST = 4


class HelpFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written."""


class PanelCommand(BaseCommand):
    """A command that speaks in sentences and exit statuses. Subclasses write `work`, not `handle`."""

    examples: str = ""  # one or several lines, shown at the end of --help

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        examples = [line.strip() for line in self.examples.strip().splitlines()]
        kwargs.setdefault("formatter_class", HelpFormatter)
        kwargs.setdefault("epilog", _epilog(examples))
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        for group in parser._actions:
            if isinstance(group, argparse._SubParsersAction):
                for name, act in group.choices.items():
                    act.formatter_class = HelpFormatter
                    act.epilog = _epilog([line for line in examples if f" {subcommand} {name} " in f"{line} "])
        return parser

    def add_as_argument(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--as",
            dest="as_user",
            metavar="USER",
            help="act with this person's rights, not as the operator",
        )

    def add_json_argument(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON, for scripts")

    def actor(self, options: dict[str, Any]) -> Actor:
        """The operator at the shell, or the person of `--as`; raises NotFound."""
        name = options.get("as_user")
        if name == "":  # a script's variable that is not set must not make it the operator
            raise InputError("name a person, or leave it out to be the operator.", "--as")
        return Actor(user=None if name is None else user_named(name), door=Door.COMMAND, behind=_login())

    def work(self, **options: Any) -> int | None:
        """Does it; returns an exit status, None for 0. PanelErrors become statuses and sentences."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        for stream in (self.stdout, self.stderr):
            stream.style_func = _harmless(stream.style_func)  # only where it is a terminal
        try:
            status = self.work(**options) or Exit.DONE
        except PanelError as error:
            status = self.tell(error)
        except BrokenPipeError:  # `| head` has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = Exit.DONE
        if status:
            raise SystemExit(int(status))

    def tell(self, error: PanelError) -> Exit:
        """Prints the error, every reason on a line of its own, and says how to exit."""
        if isinstance(error, Refused):
            self.stderr.write("Refused:")
            for reason in error.decision.reasons:
                self.stderr.write(f"  {reason}")
            return Exit.REFUSED
        self.stderr.write(str(error))
        if isinstance(error, InputError):
            return Exit.USAGE
        return Exit.REFUSED if isinstance(error, Conflict) else Exit.FAILED

    def print_json(self, data: Any) -> None:
        self.stdout.write(json.dumps(data, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False))


def _epilog(examples: list[str]) -> str | None:
    return "\n  ".join(["examples:", *examples]) if examples else None


def _harmless(style: Callable[[str], str]) -> Callable[[str], str]:
    """Names, logs and what agents tell come from outside: a terminal does what control characters in them say."""
    return lambda text: style(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text))


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, in a container
        return str(os.getuid())
