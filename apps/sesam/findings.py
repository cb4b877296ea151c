"""What is wrong with a commit, as it is kept with a run and shown: all of it, up to what anybody could read. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.sesam.configuration import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST = 2000  # problems, and missing names of a kind
FILES_MOST = 50  # that use one name


def problems_kept(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """In their order; where there are too many, errors before warnings, and how many more."""
    if len(problems) <= MOST:
        return [problem.as_json() for problem in problems]
    chosen = sorted(problems, key=lambda problem: not problem.is_error)[:MOST]
    more = Problem(file="", text=f"And {len(problems) - MOST:,} more.", is_error=False)
    return [problem.as_json() for problem in (*chosen, more)]


def names_kept(lacking: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, dict[str, list[str]]]:
    """Missing names by kind, each with the files that use it."""
    return {kind: _names(names) for kind, names in lacking.items()}


def _names(names: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    kept = {name: _files(files) for name, files in list(names.items())[:MOST]}
    return kept | ({f"and {len(names) - MOST:,} more": []} if len(names) > MOST else {})


def _files(files: Sequence[str]) -> list[str]:
    more = len(files) - FILES_MOST
    return [*files[:FILES_MOST], *([f"and {more:,} more"] if more > 0 else [])]
