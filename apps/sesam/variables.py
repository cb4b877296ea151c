"""Variables from a repository's files: read, merged, and what is odd about them. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.sesam.configuration import Problem
from apps.sesam.errors import JsonProblem
from apps.sesam.json_text import json_read, same
from apps.sesam.words import has_halves, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apps.sesam.configuration import Json
    from apps.sesam.layout import SourceSettings

_ABSENT = "There is no such variables file. Name another, or write “none” when there is none."


def variables_read(
    files: Mapping[str, bytes], settings: SourceSettings
) -> tuple[dict[str, dict[str, Json]], list[Problem]]:
    """Every variables file by its path, and what is wrong with them."""
    found: dict[str, dict[str, Json]] = {}
    problems: list[Problem] = []
    # Nobody needs ci's own values to verify the names.
    optional = set(settings.variables_paths) if settings.verified_paths else set()
    for path in dict.fromkeys((*settings.variables_paths, *settings.verified_paths)):
        if path not in files:
            problems.append(Problem(file=path, text=_ABSENT, is_error=path not in optional))
            continue
        try:
            found[path] = _object(json_read(files[path], path), path)
        except JsonProblem as error:
            problems.append(error.problem)
    return found, problems


def _object(value: Json, path: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise JsonProblem(path, "Variables are one JSON object of names and values.", 1)
    if odd := next(filter(has_halves, value), None):
        raise JsonProblem(path, f"The name “{shown(odd[:80])}” is no text.")
    return value


def variables_merged(
    by_file: Mapping[str, Mapping[str, Json]], settings: SourceSettings
) -> tuple[dict[str, Json], list[Problem]]:
    """The node's variables: of each name the value in the last file, with a warning when an earlier one differs."""
    merged: dict[str, Json] = {}
    origin: dict[str, str] = {}
    problems = []
    for path in settings.variables_paths:
        for name, value in by_file.get(path, {}).items():
            if name in merged and not same(merged[name], value):
                text = f"The variable “{shown(name)}” has another value in {origin[name]}; this one counts."
                problems.append(Problem(file=path, text=text, is_error=False))
            merged[name], origin[name] = value, path
    return merged, problems
