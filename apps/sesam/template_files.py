"""The template files of one extra node, read. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from apps.sesam.configuration import Problem
from apps.sesam.errors import JsonProblem
from apps.sesam.json_text import json_read
from apps.sesam.words import some

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apps.sesam.configuration import Json

METADATA = "node-metadata.conf.json"
NAMES = (
    *(
        f"{kind}_on_{place}_from_{way}.json"
        for kind, place, way in product(("pipe", "system"), ("extra", "master"), ("extra_to_master", "master_to_extra"))
    ),
    METADATA,
)


@dataclass(frozen=True, kw_only=True)
class TemplateFile:
    """One template: the entities that it makes each time it is filled. `file` is from the repository's top."""

    file: str
    entries: tuple[Mapping[str, Json], ...]
    text: str = field(repr=False, default="")

    def line_of(self, words: str) -> int:
        """The line, from 1, where these words stand first; 0: they do not."""
        at = self.text.find(words)
        return self.text.count("\n", 0, at) + 1 if at >= 0 else 0


@dataclass(frozen=True, kw_only=True)
class TemplateSet:
    """What lies in a template folder, by file name, and what is wrong with it."""

    folder: str
    by_name: Mapping[str, TemplateFile]
    problems: tuple[Problem, ...]


def templates_read(files: Mapping[str, bytes], folder: str) -> TemplateSet:
    """The templates among `files` (by path from the repository's top) that lie directly in `folder`."""
    prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
    inside = {path[len(prefix) :]: path for path in sorted(files) if path.startswith(prefix)}
    names = {name: path for name, path in inside.items() if "/" not in name and not name.startswith(".")}
    by_name: dict[str, TemplateFile] = {}
    problems = _strangers(names)
    for name in NAMES:
        if name in names:
            try:
                by_name[name] = _read(files[names[name]], names[name])
            except JsonProblem as wrong:
                problems.append(wrong.problem)
    if not names:
        problems.append(Problem(file=prefix, text=f"No template lies here. There may be {', '.join(NAMES)}."))
    return TemplateSet(folder=prefix, by_name=by_name, problems=tuple(problems))


def _strangers(names: Mapping[str, str]) -> list[Problem]:
    """Files that no template is called, such as a misspelt one."""
    unknown = [name for name in names if name not in NAMES and not name.lower().endswith(".md")]
    there = some([name for name in names if name in NAMES], len(NAMES)) or "none"
    text = f"No template is called so; it is not used. Templates here: {there}. There may be {', '.join(NAMES)}."
    return [Problem(file=names[name], text=text, is_error=False) for name in unknown]


def _read(data: bytes, file: str) -> TemplateFile:
    value = json_read(data, file)
    entries = value if isinstance(value, list) else [value]
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            place = f"item {number} of the list" if isinstance(value, list) else "it"
            raise JsonProblem(file, f"A template is a JSON object or a list of them; {place} is none.", 0, 0)
    return TemplateFile(file=file, entries=tuple(entries), text=data.decode("utf-8", "replace"))
