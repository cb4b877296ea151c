"""What Git wants a node to have: read, expanded, and this node's share of it. From the mirror alone, no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.access.errors import PanelError
from apps.repos.selectors import files_read
from apps.sesam.configuration import Configuration, Problem
from apps.sesam.errors import SourceError
from apps.sesam.expansion import MASTER, Expansion, ExtraSpec, Share, expand
from apps.sesam.group import grouped
from apps.sesam.references import References, missing, references
from apps.sesam.selectors import extras_of, master_of
from apps.sesam.source import Source, SourceSettings, source_paths, source_read
from apps.sesam.whitelist import content_counts
from apps.sesam.words import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from apps.repos.models import Repository
    from apps.sesam.configuration import Entity
    from apps.sesam.models import Node

Missing = dict[str, dict[str, tuple[str, ...]]]  # {"variables": {name: files}, "secrets": {…}}


@dataclass(frozen=True, kw_only=True)
class Desired:
    """One commit as a node shall have it. It is there with `problems` too, for pages; `require` refuses them.

    `configuration` has variables and needed secrets' names (`secrets`) only where the node uploads them.
    `references` are those that must be there before this node is changed: of its own entities, and of the extra
    nodes that it feeds through a repository, which nobody else verifies.
    """

    commit: str
    configuration: Configuration
    source: Source
    share: Share
    expansion: Expansion | None
    references: References
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.is_error)

    def require(self) -> Desired:
        """Itself; raises SourceError with all problems when one of them is an error."""
        if self.errors:
            raise SourceError(self.problems)
        return self

    def missing(self, secrets_present: Collection[str] | None) -> Missing:
        """The variables and secrets that are used and not there, with the files that use them.

        `secrets_present` has the names that the secret store has; None: nobody asked it, so nothing is said of them.
        Nothing is said of variables where Git has no file of them: the node's own count then.
        """
        settings = self.source.settings
        told = bool(settings.variables_paths or settings.verified_paths)
        variables = self.source.variables_missing(self.references) if told else {}
        secrets = {} if secrets_present is None else missing(self.references.secrets, secrets_present)
        return {"variables": variables, "secrets": secrets}


def desired_read(*, node: Node, commit: str) -> Desired:
    """What this commit (its full number) wants a node to have; for a fed node, its share of its master's repository.

    Raises PanelError for a node that follows nothing, NotMirrored, RefMissing, MirrorDamaged, GitError.
    Bad content does not raise: it is in `problems`.
    """
    master = master_of(node)
    repository = _repository_of(node, master)
    if not commit:
        raise PanelError(f"No commit of {repository.name} is known for {node.name} yet. Fetch the repository first.")
    settings = SourceSettings.of(node)
    files = files_read(repository, commit, source_paths(settings), wanted=lambda path: content_counts(path, settings))
    # What lies there counts by its name, too; the content of what is not read is never looked at.
    source = source_read({**dict.fromkeys(files.unread, b""), **files}, settings)
    told = [Problem(file=shown(path), text=why, is_error=False) for path, why in files.left_out.items()]
    if not settings.is_multi or settings.is_ci:
        if master != node:  # all of it is never one extra node's
            raise PanelError(
                f"{node.name} is fed by {master.name}, which feeds nobody: its layout must be multi, and not for ci."
            )
        return _desired(node, commit, source, None, MASTER, told)
    extras = list(extras_of(master))
    name = MASTER if master == node else next((extra.name for extra in extras if extra.node_id == node.pk), None)
    if name is None:
        raise PanelError(f"{node.name} is no extra node of {master.name} any more.")
    expansion = expand(source, master_name=master.name, extras=[ExtraSpec.of(one) for one in extras], ci=False)
    told += expansion.problems
    alone = [] if name else [extra.name for extra in extras if extra.repository_id is not None]
    return _desired(node, commit, source, expansion, name, told, also=alone)


def _repository_of(node: Node, master: Node) -> Repository:
    if master.repository is None:
        raise PanelError(f"{node.name} follows no repository: choose one, or let a master feed it as its extra node.")
    return master.repository


def _desired(
    node: Node,
    commit: str,
    source: Source,
    expansion: Expansion | None,
    name: str,
    told: list[Problem],
    *,
    also: Sequence[str] = (),
) -> Desired:
    """`name` is the node's among the shares; `also` those that it answers for."""
    share = expansion.shares[name] if expansion else _whole(source)
    entities, wrong = grouped(share.entities.values(), source.settings.config_group)
    needed = references(entities)
    return Desired(
        commit=commit,
        configuration=Configuration(
            entities={entity.id: entity for entity in entities},
            variables=share.variables if "variables" in node.upload and source.settings.variables_paths else None,
            secrets=frozenset(needed.secrets) if "secrets" in node.upload else None,
        ),
        source=source,
        share=share,
        expansion=expansion,
        references=references([*entities, *_entities_of(expansion, also)]),
        problems=tuple(
            sorted({*source.problems, *told, *wrong}, key=lambda one: (one.file, one.line, one.column, one.text))
        ),
    )


def _whole(source: Source) -> Share:
    """Everything belongs to one node: the single layout, and ci."""
    return Share(entities={entity.id: entity for entity in source.entities}, variables=dict(source.variables))


def _entities_of(expansion: Expansion | None, names: Sequence[str]) -> list[Entity]:
    shares = [expansion.shares[name] for name in names] if expansion else []
    return [entity for share in shares for entity in share.entities.values()]
