"""A folder on disk verified as the panel would verify it from Git: no database, no node, no network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from apps.access.errors import InputError
from apps.sesam.configuration import Problem
from apps.sesam.expansion import Expansion, ExtraSpec, expand
from apps.sesam.layout import SourceSettings, is_under, joined, source_paths
from apps.sesam.references import References, references
from apps.sesam.source import Source, owner_of, source_read
from apps.sesam.whitelist import content_counts
from apps.sesam.words import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LIMIT_BYTES = 64 * 1024 * 1024  # of all files that are read, together
LIMIT_FILES = 20_000
ENVIRONMENTS = ("ci", "test", "prod")
LAYOUTS = ("single", "multi")
TEMPLATES = "extra_nodes"
MASTER = "the master"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What is wrong with a folder. `missing` has the variables that are used and not there, with their files.

    `references` has all variables and secrets that are used; whether a secret is anywhere, only a store knows.
    """

    layout: str
    environment: str
    source: Source
    expansion: Expansion | None
    references: References
    problems: tuple[Problem, ...]
    missing: Mapping[str, tuple[str, ...]]

    @property
    def is_sound(self) -> bool:
        """Nothing is missing, and no problem is more than a warning."""
        return not self.missing and not any(problem.is_error for problem in self.problems)


def verify_folder(
    path: Path | str,
    environment: str = "ci",
    *,
    layout: str = "",
    variables_files: Sequence[str] = (),
    whitelist_file: str = "",
) -> Verification:
    """Verify the folder that holds `node/` (layout multi), or a single node's own.

    `layout` empty: multi when there is a `node/` in it. For `test` and `prod` the templates in
    `extra_nodes/NAME` are filled, too, for each NAME that owns an entity. Links are left out, as from Git.
    Raises InputError for a folder that is none, is too large, or cannot be read.
    """
    top = Path(path)
    _check(top, environment, layout)
    settings = SourceSettings(
        layout=layout or ("multi" if (top / "node").is_dir() else "single"),
        environment=environment,
        variables_files=tuple(variables_files),
        whitelist_file=whitelist_file,
    )
    files, told = _files_read(top, settings)
    source = source_read(files, settings)
    expansion = None
    if settings.is_multi and not settings.is_ci:
        expansion = expand(source, master_name=MASTER, extras=_extras(source), ci=False)
        told += expansion.problems
    used = _references(source, expansion)
    # Without a variables file nobody here can say what is missing.
    known = settings.variables_paths or settings.verified_paths
    return Verification(
        layout=settings.layout,
        environment=environment,
        source=source,
        expansion=expansion,
        references=used,
        problems=tuple(sorted({*source.problems, *told}, key=lambda one: (one.file, one.line, one.column, one.text))),
        missing=source.variables_missing(used) if known else {},
    )


def _check(top: Path, environment: str, layout: str) -> None:
    if environment not in ENVIRONMENTS:
        raise InputError(f"{environment!r} is no environment; there are {', '.join(ENVIRONMENTS)}.", "environment")
    if layout and layout not in LAYOUTS:
        raise InputError(f"{layout!r} is no layout; there are {', '.join(LAYOUTS)}.", "layout")
    if not top.is_dir():
        raise InputError(f"{top} is no folder.", "path")


def _extras(source: Source) -> list[ExtraSpec]:
    """Nobody declares extra nodes here: those who own something, or have templates, are taken for them."""
    folders = {path.removeprefix(f"{TEMPLATES}/").partition("/")[0] for path in source.templates
               if path.startswith(f"{TEMPLATES}/") and path.count("/") > 1}  # fmt: skip
    names = {owner for entity in source.entities if (owner := owner_of(entity))} | folders
    return [ExtraSpec(name=name, template_path=joined(TEMPLATES, name)) for name in sorted(names)]


def _references(source: Source, expansion: Expansion | None) -> References:
    shares = expansion.shares.values() if expansion else ()
    made = [entity for share in shares for entity in share.entities.values()]
    return references([*source.entities, *made])


def _files_read(top: Path, settings: SourceSettings) -> tuple[dict[str, bytes], list[Problem]]:
    """Contents by path from the folder; empty ones for files of which the name is enough."""
    files: dict[str, bytes] = {}
    told: list[Problem] = []
    total = 0
    for name, full in _walk(top, settings):
        if full.is_symlink():
            told.append(Problem(file=shown(name), text="This is a link: it is left out.", is_error=False))
            continue
        if not full.is_file():
            continue
        files[name] = _content(full, LIMIT_BYTES - total) if content_counts(name, settings) else b""
        total += len(files[name])
        if len(files) > LIMIT_FILES:
            raise InputError(f"{top} has more than {LIMIT_FILES} files.", "path")
    return files, told


def _walk(top: Path, settings: SourceSettings) -> Iterator[tuple[str, Path]]:
    """Files and links that can matter, by path from the top; no folder is entered by a link."""
    wanted = source_paths(settings)
    for folder, folders, names in os.walk(top, onerror=_unreadable):
        inside = os.path.relpath(folder, top)
        prefix = "" if inside == "." else f"{inside}/"
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(name for name in folders if name != ".git" and _leads(f"{prefix}{name}", wanted))
        for name in sorted([*names, *links]):
            path = f"{prefix}{name}"
            if any(is_under(path, one) for one in wanted):
                yield os.fsencode(path).decode("utf-8", "backslashreplace"), Path(folder, name)


def _leads(path: str, wanted: Sequence[str]) -> bool:
    return any(is_under(path, one) or is_under(one, path) for one in wanted)


def _unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be read ({error.strerror}).", "path")


def _content(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        _unreadable(error)
        raise
    if len(data) > limit:
        raise InputError(f"With {path}, the files have more than {LIMIT_BYTES} bytes together.", "path")
    return data
