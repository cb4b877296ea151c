"""The base of all commands: exit statuses, words, `--as`, examples."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from apps.access.command import PanelCommand
from apps.access.decision import Decision, RuleResult
from apps.access.errors import Conflict, DecryptionError, InputError, NotFound, Refused

pytestmark = pytest.mark.django_db


def refused() -> Refused:
    from django.utils import timezone

    rules = tuple(RuleResult(name=name, allowed=False, reason=f"{name} says no.") for name in ("freeze", "hours"))
    return Refused(Decision(at=timezone.now(), rules=rules))


def command_that(act: Any) -> PanelCommand:
    class Command(PanelCommand):
        help = "Does it."
        examples = "manage.py it --now\nmanage.py it --later"

        def add_arguments(self, parser: Any) -> None:
            self.add_as_argument(parser)
            self.add_json_argument(parser)

        def work(self, **options: Any) -> int | None:
            result = act(self, options)
            if isinstance(result, Exception):
                raise result
            return result

    return Command(stdout=io.StringIO(), stderr=io.StringIO())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "status", "words"),
    [
        (None, 0, ""),
        (0, 0, ""),
        (1, 1, ""),
        (4, 4, ""),
        (InputError("that is wrong", "file.yaml line 3"), 2, "file.yaml line 3: that is wrong\n"),
        (NotFound("no such thing"), 2, "no such thing\n"),
        (refused(), 3, "Refused:\n  freeze says no.\n  hours says no.\n"),
        (Conflict("run 7 is at work"), 3, "run 7 is at work\n"),
        (DecryptionError("no key opens it"), 1, "no key opens it\n"),
    ],
)
def test_outcome_becomes_a_status(outcome: Any, status: int, words: str) -> None:
    command = command_that(lambda *_: outcome)
    if status:
        with pytest.raises(SystemExit) as end:
            call_command(command)
        assert end.value.code == status
    else:
        call_command(command)
    assert command.stderr._out.getvalue() == words  # type: ignore[attr-defined]


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(ZeroDivisionError):
        call_command(command_that(lambda *_: ZeroDivisionError()))


def test_actor_is_the_operator_or_a_person(owner: User) -> None:
    seen: list[Any] = []
    command = command_that(lambda self, options: seen.append(self.actor(options)))
    call_command(command)
    call_command(command, "--as", "owner")
    assert [(actor.name, actor.is_trusted, bool(actor.behind)) for actor in seen] == [
        ("operator", True, True),
        ("owner", False, True),
    ]
    with pytest.raises(SystemExit) as end:
        call_command(command, "--as", "nobody")
    assert end.value.code == 2


def test_json_is_json(owner: User) -> None:
    command = command_that(lambda self, _: self.print_json({"at": owner.date_joined, "name": "é"}))
    call_command(command, "--json")
    text = command.stdout._out.getvalue()  # type: ignore[attr-defined]
    assert json.loads(text)["name"] == "é"


def test_help_has_the_examples_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_that(lambda *_: None).create_parser("manage.py", "it").parse_args(["--help"])
    assert "examples:\n  manage.py it --now\n  manage.py it --later" in capsys.readouterr().out


def test_bad_usage() -> None:
    with pytest.raises(CommandError):
        call_command(command_that(lambda *_: None), "--nonsense")
    with pytest.raises(SystemExit) as end:
        command_that(lambda *_: None).run_from_argv(["manage.py", "it", "--nonsense"])
    assert end.value.code == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_told_nothing_by_what_comes_from_outside() -> None:
    """A trigger's name, an agent's version or a line of a log could clear the screen or answer for the reader."""
    named = "a\x1b[2J\x1b]0;title\x07b\x9b5n\rc"
    for out, told in ((Terminal(), "a�[2J�]0;title�b�5n�c"), (io.StringIO(), named)):
        command = command_that(lambda this, _: this.stdout.write(f"\x1b[31mred\x1b[0m\t{named}\nnext"))
        call_command(command, stdout=out, stderr=io.StringIO())
        assert out.getvalue() == f"\x1b[31mred\x1b[0m\t{told}\nnext\n"
    err = Terminal()
    with pytest.raises(SystemExit):
        call_command(command_that(lambda *_: InputError(f"no trigger is called {named}")), stderr=err)
    assert "\x1b[2J" not in err.getvalue()
    assert "title" in err.getvalue()


def test_empty_name_is_not_the_operator() -> None:
    """`--as "$PERSON"` in a script where nothing has set PERSON."""
    command = command_that(lambda self, options: self.actor(options) and None)
    with pytest.raises(SystemExit) as end:
        call_command(command, "--as", "")
    assert end.value.code == 2
    assert command.stderr._out.getvalue().startswith("--as: ")  # type: ignore[attr-defined]


def test_help_of_an_act_has_its_own_examples() -> None:
    class Command(PanelCommand):
        examples = "manage.py it go web --now\nmanage.py it stop web"

        def add_arguments(self, parser: Any) -> None:
            acts = parser.add_subparsers(dest="act")
            acts.add_parser("go").add_argument("name")
            acts.add_parser("wait")

    acts = Command().create_parser("manage.py", "it")._actions[-1].choices
    assert acts is not None
    assert acts["go"].format_help().endswith("examples:\n  manage.py it go web --now\n")  # type: ignore[index]
    assert "examples" not in acts["wait"].format_help()  # type: ignore[index]
