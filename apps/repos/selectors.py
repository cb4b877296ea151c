"""What the mirrors and the database know about repositories."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.access.errors import NotFound
from apps.access.levels import Level
from apps.access.permissions import subjects_visible
from apps.repos import blobs, history, patch
from apps.repos.errors import RefMissing
from apps.repos.mirror import mirror_path
from apps.repos.models import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet

    from apps.repos.blobs import FilesRead
    from apps.repos.git import Commit, FileChange, Ref

NEAR_AMONG = 2000  # refs looked at for a name that is like the wrong one


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `new` has that `old` has not. The lists may be cut; the totals are true."""

    old: Commit | None
    new: Commit
    commits: list[Commit]
    commits_total: int
    behind_total: int  # commits that `old` has and `new` has not: more than 0 for a step back or aside
    files: list[FileChange]
    files_total: int
    added: int
    deleted: int


def repositories_visible(user: User | AnonymousUser, least: Level = Level.VIEW) -> QuerySet[Repository]:
    return Repository.objects.filter(pk__in=subjects_visible(user, "repository", least).values("pk"))


def repository_named(name: str) -> Repository:
    """The repository of that name; raises NotFound with the names that are near."""
    found = Repository.objects.filter(name=name).first()
    if found is None:
        names = list(Repository.objects.values_list("name", flat=True))
        raise NotFound(f"no repository is called {name!r}.{_did_you_mean(name, names)}")
    return found


def branches(repository: Repository, limit: int | None = None) -> list[Ref]:
    """Newest first. Raises NotMirrored, as all that ask the mirror."""
    return history.refs(mirror_path(repository.pk), "refs/heads/", newest=limit)


def tags(repository: Repository, limit: int | None = None) -> list[Ref]:
    return history.refs(mirror_path(repository.pk), "refs/tags/", newest=limit)


def branch_default(repository: Repository) -> str:
    """The name of the server's main branch; empty when unknown."""
    return history.default_branch(mirror_path(repository.pk))


def commit_resolve(repository: Repository, ref: str) -> Commit:
    """The commit that a branch, a tag, a full name (`refs/…`) or a commit number, short or full, leads to.

    A branch goes before a tag, and both before a short number. Raises RefMissing (a NotFound).
    """
    path = mirror_path(repository.pk)
    sought = ref.strip()
    if history.FULL_SHA.match(sought) and (commit := history.commit_of(path, sought)):
        return commit
    names = [sought] if sought.startswith("refs/") else [f"refs/heads/{sought}", f"refs/tags/{sought}"]
    if sought and history.ref_is_possible(names[0]):
        found = {f"refs/{'heads' if r.kind == 'branch' else 'tags'}/{r.name}": r for r in history.refs(path, *names)}
        for name in names:
            if name in found:
                return found[name].commit
    if commit := history.commit_of(path, sought.lower()):
        return commit
    raise _missing(repository, sought)


def commits(repository: Repository, ref: str, limit: int = 50, skip: int = 0, search: str = "") -> list[Commit]:
    """The history of `ref`, newest first. `search` looks at messages, then at authors, then at commit numbers."""
    path, tip = mirror_path(repository.pk), commit_resolve(repository, ref).sha
    sought = search.strip().replace("\x00", "")
    if not sought:
        return list(history.log(path, tip, limit=limit, skip=skip))
    if next(history.log(path, tip, limit=1, message=sought), None):
        return list(history.log(path, tip, limit=limit, skip=skip, message=sought))
    if found := list(history.log(path, tip, limit=limit, skip=skip, author=sought)):
        return found
    try:
        commit = history.commit_of(path, sought.lower())
    except RefMissing:
        commit = None
    return [commit] if commit and not skip else []


def commits_between(repository: Repository, old: str, new: str, limit: int = 100) -> list[Commit]:
    """Commits of `new` that `old` has not; all of them when `old` is empty."""
    path, tip = mirror_path(repository.pk), commit_resolve(repository, new).sha
    return list(history.log(path, tip, old=commit_resolve(repository, old).sha if old else "", limit=limit))


def files_between(repository: Repository, old: str, new: str, limit: int = 300) -> list[FileChange]:
    """Files that differ, with lines added and deleted; every file of `new` when `old` is empty."""
    return comparison(repository, old, new, commits=1, files=limit).files


def comparison(repository: Repository, old: str, new: str, commits: int = 100, files: int = 300) -> Comparison:
    """All that lies between two commits (`old` empty: from nothing)."""
    path, after = mirror_path(repository.pk), commit_resolve(repository, new)
    before = commit_resolve(repository, old) if old else None
    base = before.sha if before else ""
    changed = history.changes(path, base or history.empty_tree(path), after.sha)
    counts = history.line_counts(path, base or history.empty_tree(path), after.sha) if changed else {}
    return Comparison(
        old=before,
        new=after,
        commits=list(history.log(path, after.sha, old=base, limit=commits)),
        commits_total=history.count(path, after.sha, base),
        behind_total=history.count(path, base, after.sha) if base else 0,
        files=[history.counted(change, counts) for change in changed[:files]],
        files_total=len(changed),
        added=sum(added or 0 for added, _ in counts.values()),
        deleted=sum(deleted or 0 for _, deleted in counts.values()),
    )


def file_patch(repository: Repository, old: str, new: str, path: str) -> patch.Patch:
    """What lies between two commits (`old` empty: from nothing) in one file; raises NotFound where it is the same."""
    mirror, after = mirror_path(repository.pk), commit_resolve(repository, new)
    before = commit_resolve(repository, old).sha if old else history.empty_tree(mirror)
    entry = patch.entry_of(mirror, before, after.sha, path)
    if entry is None:
        raise NotFound(f"No file {patch.plain(path)[:200]!r} differs between {old[:100] or 'nothing'} and {new[:100]}.")
    return patch.patch_of(mirror, entry)


def files_read(
    repository: Repository,
    sha: str,
    folders: Sequence[str],
    *,
    wanted: Callable[[str], bool] | None = None,
    limit_bytes: int = blobs.LIMIT_BYTES,
    limit_files: int = blobs.LIMIT_FILES,
) -> FilesRead:
    """The files under these folders of a commit, in memory, by their paths from the repository's top.

    What is not a file is named in `left_out` of the result, what `wanted` (by path) refuses in `unread`.
    Raises RefMissing, MirrorDamaged, NotMirrored, GitError.
    """
    mirror = mirror_path(repository.pk)
    return blobs.files_read(mirror, sha, folders, wanted=wanted, limit_bytes=limit_bytes, limit_files=limit_files)


def _missing(repository: Repository, ref: str) -> RefMissing:
    path = mirror_path(repository.pk)
    names = [found.name for found in history.refs(path, "refs/heads/", "refs/tags/", newest=NEAR_AMONG)]
    near = difflib.get_close_matches(ref, names, n=3)
    return RefMissing(
        f"{repository.name} has no branch, tag or commit {ref!r}.{_did_you_mean(ref, names)}", tuple(near)
    )


def _did_you_mean(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3)
    return f" Did you mean {' or '.join(near)}?" if near else ""
