"""What a plan found, as lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.sesam.management.acting import question_lines
from apps.sesam.plan_reads import sync_comparison
from apps.sesam.words import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from apps.sesam.models import Sync
    from apps.sesam.plan import Plan, VariableChange

MARKS = {"new": "+", "changed": "~", "removed": "-"}
MOST = 200  # ids of one kind of change; a page has them all


def plan_of(sync: Sync) -> Plan | None:
    """What lies between the two sides; None when the run did not come so far."""
    comparison = sync_comparison(sync)
    return comparison.plan if comparison else None


def plan_lines(sync: Sync, plan: Plan | None) -> list[str]:
    """Whatever of it there is: the commit, the counts, what would change, what is missing, what is asked."""
    lines = [f"{sync.node_name}: {sync.commit[:10] or sync.ref} {shown(sync.commit_subject)}".rstrip()]
    return [
        *lines,
        *problem_lines(sync.problems),
        *missing_lines(sync.missing),
        *(_plan(plan) if plan else []),
        *question_lines(sync.questions),
    ]


def change_lines(ids: Mapping[str, Sequence[str]], variables: Sequence[VariableChange]) -> Iterator[str]:
    """A line for each entity, by move, and for each variable."""
    for move, mark in MARKS.items():
        yield from _some(mark, [shown(name) for name in ids[move]])
    yield from _some("variable", [f"{MARKS[one.move]} {shown(one.name)}" for one in variables])


def problem_lines(problems: Sequence[Mapping[str, Any]]) -> list[str]:
    """`file:line:column: text`, errors before warnings."""
    told = sorted(problems, key=lambda one: not one.get("error", True))
    return [f"{_place(one)}{'' if one.get('error', True) else 'warning: '}{shown(str(one['text']))}" for one in told]


def missing_lines(missing: Mapping[str, Mapping[str, Sequence[str]]]) -> list[str]:
    """The names that are nowhere, each with the files that use it."""
    return [
        f"missing {what.removesuffix('s')} {shown(name)}: {', '.join(shown(file) for file in files)}"
        for what, names in sorted(missing.items())
        for name, files in sorted(names.items())
    ]


def _plan(plan: Plan) -> Iterator[str]:
    counts = plan.counts
    if plan.is_empty:
        yield f"In sync: {counts['unchanged']} unchanged{_left_alone(counts)}."
        return
    told = ", ".join(f"{counts[move]} {move}" for move in ("new", "changed", "removed", "unchanged"))
    yield f"{told}{_left_alone(counts)}"
    yield from change_lines({move: plan.ids(move) for move in MARKS}, plan.variables)
    yield from _some("secret +", [shown(name) for name in plan.secrets_missing])


def _left_alone(counts: Mapping[str, int]) -> str:
    return "".join(f", {counts[move]} {move}" for move in ("ignored", "protected") if counts[move])


def _some(mark: str, names: Sequence[str]) -> Iterator[str]:
    for name in names[:MOST]:
        yield f"  {mark} {name}"
    if len(names) > MOST:
        yield f"  {mark} … and {len(names) - MOST} more"


def _place(problem: Mapping[str, Any]) -> str:
    place = shown(str(problem.get("file", "")))
    for key in ("line", "column"):
        place += f":{problem[key]}" if place and problem.get(key) else ""
    return f"{place}: " if place else ""
