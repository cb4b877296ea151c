"""Which of a folder's files are a node's configuration: by where they lie, and by a list of paths. No I/O."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from apps.sesam.configuration import Problem
from apps.sesam.layout import below, is_under, joined
from apps.sesam.soundness import is_within
from apps.sesam.words import is_plain, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from apps.sesam.layout import SourceSettings

SUFFIX = ".conf.json"
_MOST_LINES = 50_000
METADATA_FILE = "node-metadata.conf.json"
_HOMES = ("pipes", "systems")


def home_of(path: str) -> str | None:
    """`pipes` or `systems` for what lies in such a folder, however deep; empty for node metadata; else None.

    The path counts from the node's folder.
    """
    *folders, name = path.split("/")
    for folder in reversed(folders):
        if folder in _HOMES:
            return folder
    return "" if name == METADATA_FILE else None


def content_counts(path: str, settings: SourceSettings) -> bool:
    """Whether what is in a file can matter: entities, templates, and the lists and variables that settings name.

    Of all others the name is enough. The path counts from the top of the repository.
    """
    named = (settings.whitelist_path, *settings.variables_paths, *settings.verified_paths)
    if path.endswith(SUFFIX) or path in named:
        return True
    return settings.is_multi and not is_under(path, settings.folder)


def files_chosen(files: Mapping[str, bytes], settings: SourceSettings) -> tuple[list[str], list[Problem]]:
    """The paths of the entities' files, and what is wrong. `files` are those of the node's folder."""
    if not settings.whitelist_path:
        candidates: list[str] = sorted(files)
        problems: list[Problem] = []
    else:
        candidates, problems = _listed(files, settings)
    chosen = []
    for path in candidates:
        wrong = _name_problem(path, settings.folder, listed=bool(settings.whitelist_path))
        if wrong:
            problems.append(wrong)
        elif _is_entity(below(path, settings.folder)):
            chosen.append(path)
    return chosen, problems


def _is_entity(path: str) -> bool:
    return path.endswith(SUFFIX) and home_of(path) is not None


def _name_problem(path: str, folder: str, *, listed: bool) -> Problem | None:
    relative = below(path, folder)
    if _is_entity(relative):
        return None if is_plain(path) else Problem(file=shown(path), text="Its name has control characters.")
    name = relative.rpartition("/")[2]
    at_home = home_of(relative) in _HOMES and not name.startswith(".")
    if listed or at_home or (name.endswith(SUFFIX) and "/" not in relative):
        text = f"This is no {SUFFIX} file in pipes/ or systems/, nor {METADATA_FILE}: it is left out."
        return Problem(file=shown(path), text=text, is_error=False)
    return None


def _listed(files: Mapping[str, bytes], settings: SourceSettings) -> tuple[list[str], list[Problem]]:
    """The files that the whitelist names; its problems have the line of the list."""
    whitelist = settings.whitelist_path
    if whitelist not in files:
        text = "There is no such whitelist. Name another, or write “none” when everything counts."
        return [], [Problem(file=whitelist, text=text)]
    try:
        text = files[whitelist].decode("utf-8-sig")
    except UnicodeDecodeError:
        return [], [Problem(file=whitelist, text="This is not UTF-8 text.")]
    chosen: dict[str, int] = {}
    problems = []
    folders = {str(folder) for path in files for folder in PurePosixPath(path).parents}
    for number, line in _lines(text):
        if number > _MOST_LINES:
            problems.append(Problem(file=whitelist, text=f"It has more than {_MOST_LINES:,} lines.", line=number))
            break
        path = joined(settings.folder, line)
        if fault := _line_fault(line, path, files, folders):
            problems.append(Problem(file=whitelist, text=fault, line=number))
        elif path in chosen:
            said = f"{line} is already listed in line {chosen[path]}."
            problems.append(Problem(file=whitelist, text=said, line=number, is_error=False))
        else:
            chosen[path] = number
    return sorted(chosen), problems


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers."""
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def _line_fault(line: str, path: str, files: Mapping[str, bytes], folders: Collection[str]) -> str:
    if not is_within(line):
        return f"{shown(line)} leaves the node's folder."
    if path in files:
        return ""
    if path in folders:
        return f"{shown(line)} is a folder; the list names files."
    return f"{shown(line)} is not there."
