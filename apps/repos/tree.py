"""A tree of files that came from a repository, and is not to be trusted with where its links lead."""

from __future__ import annotations

import stat
from pathlib import Path

from apps.repos.errors import UnsafePath


def safe_file(folder: Path, name: str) -> Path | None:
    """The regular file `name` (`predeploy.sh`, `tests/run_tests.sh`) in `folder`; None when there is none.

    A link is followed only as long as it stays inside; raises UnsafePath when it does not. The path
    that comes back has no links in it, so it can be run; to remove the script, remove `folder / name`.
    """
    inside = folder.resolve()
    try:
        target = (inside / name).resolve(strict=True)
    except FileNotFoundError:
        # A dangling link out of the tree is as unwanted as one that leads somewhere.
        target = (inside / name).resolve()
        if target.is_relative_to(inside):
            return None
    except (OSError, RuntimeError) as error:  # a loop of links, a folder that is a file
        if isinstance(error, NotADirectoryError):
            return None
        raise UnsafePath(f"{name} cannot be followed: {error}.") from None
    if not target.is_relative_to(inside):
        raise UnsafePath(f"{name} is a link out of the repository's tree, to {target}. It is neither run nor removed.")
    return target if stat.S_ISREG(target.stat().st_mode) else None


def link_leaves(folder: Path, link: Path) -> bool:
    """Whether the symbolic link `link` under `folder` points out of it."""
    target = Path(link.parent.resolve(), link.readlink())
    return not Path(_flat(target)).is_relative_to(folder.resolve())


def _flat(path: Path) -> str:
    """`path` without dots, by its text alone: what it leads to need not exist."""
    parts: list[str] = []
    for part in path.parts[1:]:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return "/" + "/".join(parts)
