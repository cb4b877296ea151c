"""Where in a repository a node's files lie, by its layout, environment and settings. No I/O."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from apps.sesam.soundness import NONE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apps.sesam.models import Node

_CI_VARIABLES = "test-env.json"
_CI_VERIFIED = ("variables/variables-test.json", "variables/variables-prod.json")


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """What decides which files of a repository count for a node. The fields are those of `Node`."""

    layout: str = "single"
    environment: str = "test"
    sync_root: str = ""
    variables_files: tuple[str, ...] = ()
    whitelist_file: str = ""
    config_group: str = ""
    template_paths: tuple[str, ...] = ()  # of the extra nodes, beside node/

    @classmethod
    def of(cls, node: Node) -> SourceSettings:
        """A node's; for a node that a master feeds, the master's, and its own group."""
        fed_by = None if node.repository_id else getattr(node, "fed_by", None)
        master: Node = fed_by.master if fed_by else node
        return cls(
            layout=master.layout,
            environment=master.environment,
            sync_root=master.sync_root,
            variables_files=tuple(master.variables_files),
            whitelist_file=master.whitelist_file,
            config_group=node.config_group,
            template_paths=tuple(master.extras.values_list("template_path", flat=True)) if master.pk else (),
        )

    @property
    def is_multi(self) -> bool:
        return self.layout == "multi"

    @property
    def is_ci(self) -> bool:
        """Everything is verified as one node, and there is no node behind it."""
        return self.is_multi and self.environment == "ci"

    @cached_property
    def root(self) -> str:
        """`sync_root` from the top of the repository, without slashes at its ends; empty: the top."""
        return joined(self.sync_root)

    @cached_property
    def folder(self) -> str:
        """The node's own folder: with `node/` when the layout is multi."""
        return joined(self.root, "node") if self.is_multi else self.root

    @property
    def has_own_variables(self) -> bool:
        """Whether the layout's own variables files count, not ones that were chosen."""
        return not self.variables_files

    @property
    def variables_paths(self) -> tuple[str, ...]:
        """The files that are merged into the node's variables, in this order."""
        if self.variables_files:
            return tuple(joined(self.folder, one) for one in self.variables_files if one != NONE)
        if not self.is_multi:
            return ()
        return (joined(self.folder, _CI_VARIABLES if self.is_ci else f"variables/variables-{self.environment}.json"),)

    @property
    def verified_paths(self) -> tuple[str, ...]:
        """The files each of which must hold every variable by itself: in ci, one for each environment."""
        own = self.is_ci and self.has_own_variables
        return tuple(joined(self.folder, one) for one in _CI_VERIFIED) if own else ()

    @cached_property
    def whitelist_path(self) -> str:
        """Empty when everything counts."""
        if self.whitelist_file:
            return "" if self.whitelist_file == NONE else joined(self.folder, self.whitelist_file)
        if not self.is_multi:
            return ""
        return joined(self.folder, f"deployment/whitelist-{'master' if self.is_ci else self.environment}.txt")


def source_paths(settings: SourceSettings) -> tuple[str, ...]:
    """The folders to read from Git; an empty one is the whole repository. None lies in another."""
    if not settings.is_multi:
        return (settings.root,)
    beside = (joined(settings.root, one) for one in ("extra_nodes", *settings.template_paths))
    return outermost([settings.folder, *beside])


def outermost(folders: Iterable[str]) -> tuple[str, ...]:
    """The folders without those that lie in another of them."""
    kept: list[str] = []
    for folder in sorted(set(folders)):
        if not any(is_under(folder, one) for one in kept):
            kept.append(folder)
    return tuple(kept)


def joined(*parts: str) -> str:
    """A path from the top of the repository, without `.` and doubled slashes; empty: the top."""
    path = posixpath.normpath(posixpath.join("", *(part.strip("/") for part in parts)))
    return "" if path == "." else path


def is_under(path: str, folder: str) -> bool:
    """Whether a path is in a folder, or is that folder."""
    return not folder or path == folder or path.startswith(folder + "/")


def below(path: str, folder: str) -> str:
    """The path from the folder on; it must be under it."""
    return path[len(folder) :].lstrip("/") if folder else path
