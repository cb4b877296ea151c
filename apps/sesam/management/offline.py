"""The acts that need neither database nor node: verifying a folder, reading older tools' variables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.access.command import Exit
from apps.access.errors import InputError
from apps.sesam.env_import import env_import
from apps.sesam.management.plan_words import missing_lines, problem_lines
from apps.sesam.models import Stage
from apps.sesam.verification import verify_folder
from apps.sesam.words import number

if TYPE_CHECKING:
    from apps.access.command import PanelCommand
    from apps.sesam.verification import Verification


def env_print(command: PanelCommand, options: dict[str, Any]) -> int:
    """The declaration on standard output. Raises InputError."""
    file = options["file"]
    imported = env_import(
        _text(file),
        file="standard input" if file == "-" else file,
        name=options["name"],
        repository_url=options["repository_url"],
        with_secrets=options["with_secrets"],
    )
    command.stdout.write(imported.as_yaml())
    return Exit.DONE


def folder_verify(command: PanelCommand, options: dict[str, Any]) -> int:
    """1 when something is wrong, with everything that is. Raises InputError."""
    if options["node"] or options["ref"] or options["as_user"]:
        raise InputError("belong to a node; --path is a folder here, without the panel.", "NODE, --ref, --as")
    found = verify_folder(
        options["path"],
        options["environment"] or Stage.CI,
        layout=options["layout"],
        variables_files=options["variables"],
        whitelist_file=options["whitelist"],
    )
    if options["as_json"]:
        command.print_json(_as_json(found))
    else:
        for line in _lines(found):
            command.stdout.write(line)
    return Exit.DONE if found.is_sound else Exit.FAILED


def _as_json(found: Verification) -> dict[str, Any]:
    return {
        "sound": found.is_sound,
        "layout": found.layout,
        "environment": found.environment,
        "entities": len(found.source.entities),
        "problems": [problem.as_json() for problem in found.problems],
        "missing_variables": {name: list(files) for name, files in found.missing.items()},
        "secrets_used": {name: list(files) for name, files in sorted(found.references.secrets.items())},
    }


def _lines(found: Verification) -> list[str]:
    lines = problem_lines([problem.as_json() for problem in found.problems])
    lines += missing_lines({"variables": found.missing})
    errors = sum(problem.is_error for problem in found.problems)
    told = f"{number(errors, 'errors')}, {number(len(found.missing), 'missing variables')}"
    count, used = len(found.source.entities), number(len(found.references.secrets), "secrets")
    entities = f"{count} {'entity' if count == 1 else 'entities'}"
    return [*lines, f"{entities}, {used} used: {'sound' if found.is_sound else told}."]


def _text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror}).", file) from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("is not a text file.", file) from None
