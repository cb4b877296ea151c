"""What a repository's files say about a node: entities, variables, templates, and all that is wrong. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apps.sesam.configuration import Problem
from apps.sesam.entities import entities_read, owner_of
from apps.sesam.layout import SourceSettings, is_under, source_paths
from apps.sesam.references import missing
from apps.sesam.variables import variables_merged, variables_read
from apps.sesam.whitelist import files_chosen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apps.sesam.configuration import Entity, Json
    from apps.sesam.references import References

__all__ = ["Source", "SourceSettings", "owner_of", "source_paths", "source_read"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Everything that counts for a node, whoever's it is.

    `templates` are the files beside `node/`, as they are. `taken` lists every file that was used. Both count
    their paths from the top of the repository.
    """

    settings: SourceSettings
    entities: tuple[Entity, ...] = ()  # by id; each id once
    variables: Mapping[str, Json] = field(default_factory=dict)  # merged: the last file wins
    variables_by_file: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    templates: Mapping[str, bytes] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    taken: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that stop everything; the others are warnings."""
        return tuple(problem for problem in self.problems if problem.is_error)

    def variables_missing(self, used: References) -> dict[str, tuple[str, ...]]:
        """Names that are used and not in the variables, with the files that use them.

        In ci, the layout's own variables files must each hold every name.
        """
        verified = self.settings.verified_paths
        if not verified:
            return missing(used.variables, self.variables)
        known = [set(self.variables_by_file.get(path, {})) for path in verified]
        return missing(used.variables, set.intersection(*known))

    def lacking(self, name: str) -> tuple[str, ...]:
        """The variables files that should hold this name and do not."""
        paths = self.settings.verified_paths or self.settings.variables_paths
        return tuple(path for path in paths if name not in self.variables_by_file.get(path, {}))


def source_read(files: Mapping[str, bytes], settings: SourceSettings) -> Source:
    """Read what Git holds: `files` are contents by path from the top of the repository.

    Bad content never raises: everything wrong is in `problems`, in order of file and line.
    """
    inside = {path: files[path] for path in sorted(files) if is_under(path, settings.folder)}
    chosen, problems = files_chosen(inside, settings)
    entities, wrong = entities_read({path: files[path] for path in chosen}, settings.folder)
    by_file, odd = variables_read(files, settings)
    variables, twice = variables_merged(by_file, settings)
    found = [*problems, *wrong, *odd, *twice, *_emptiness(inside, entities, settings)]
    listed = [settings.whitelist_path] if settings.whitelist_path in inside else []
    return Source(
        settings=settings,
        entities=entities,
        variables=variables,
        variables_by_file=by_file,
        templates=_templates(files, settings),
        problems=tuple(sorted(set(found), key=lambda one: (one.file, one.line, one.column, one.text))),
        taken=tuple(sorted({*chosen, *by_file, *listed})),
    )


def _emptiness(
    inside: Mapping[str, bytes], entities: tuple[Entity, ...], settings: SourceSettings
) -> tuple[Problem, ...]:
    """A folder that is not there is a slip of the pen; an empty one may be meant, and the guard asks."""
    where = settings.folder or "the repository"
    if not inside:
        return (Problem(file=settings.folder, text="There is no such folder, or it is empty."),)
    if not entities:
        return (Problem(file=settings.folder, text=f"No pipes or systems are taken from {where}.", is_error=False),)
    return ()


def _templates(files: Mapping[str, bytes], settings: SourceSettings) -> dict[str, bytes]:
    """Files in the repository's folder beside `node/`."""
    if not settings.is_multi:
        return {}
    beside = (path for path in sorted(files) if is_under(path, settings.root))
    return {path: files[path] for path in beside if not is_under(path, settings.folder)}
