"""What Git wants of the node: the commit, its files, what they say, and whether all names are there."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from apps.access.errors import DecryptionError
from apps.repos.errors import MirrorDamaged
from apps.repos.selectors import commit_resolve
from apps.repos.services import repository_fetch, repository_rebuild
from apps.runs.errors import RunFailed
from apps.sesam.desired import desired_read
from apps.sesam.errors import SourceError
from apps.sesam.findings import names_kept, problems_kept
from apps.sesam.models import Node, SyncAction
from apps.sesam.pipeline import stages
from apps.sesam.references import missing
from apps.sesam.selectors import repository_of
from apps.sesam.vault import store_opened
from apps.sesam.words import some

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from apps.repos.git import Commit
    from apps.repos.models import Repository
    from apps.runs.work import Work
    from apps.sesam.client import NodeClient
    from apps.sesam.configuration import Problem
    from apps.sesam.desired import Desired
    from apps.sesam.models import Sync

TOLD = 200  # problems, and missing names, that the log lists one by one
FILES_TOLD = 5  # files that are named for each missing name


class NamesMissing(RunFailed):
    """Variables or secrets that Git uses are nowhere to be found."""


def commit_found(work: Work, row: Sync, node: Node) -> Commit:
    """Fetch, and the commit that is meant; it is kept on the row. Raises GitError, NotFound, RunFailed."""
    repository = repository_of(node)
    if repository is None:
        raise RunFailed(f"{node.name} follows no repository, and no master feeds it.")
    with work.step(stages.FETCH) as handle:
        _login_masked(work, repository)
        repository_fetch(repository=repository, work=work, commit=row.commit)
        found = commit_resolve(repository, row.commit or row.ref)
        handle.message = f"{found.sha[:8]} {found.subject}"[:200]
        work.log.note(f"Commit {found.sha} of {row.ref}: {found.subject} ({found.author})")
    row.commit = found.sha
    row.commit_subject, row.commit_author = found.subject[:300], found.author[:200]
    row.save(update_fields=["commit", "commit_subject", "commit_author"])
    if row.action == SyncAction.SYNC or node.is_ci:
        Node.objects.filter(pk=node.pk).update(attempted_commit=found.sha)
    return found


def desired_found(work: Work, row: Sync, node: Node) -> Desired:
    """Everything that the commit says about the node. Raises SourceError with all problems at once."""
    with work.step(stages.SOURCE) as handle:
        desired = _read(work, row, node)
        problems = list(desired.problems)
        row.problems = problems_kept(problems)
        row.save(update_fields=["problems"])
        _problems_told(work, problems)
        if any(problem.is_error for problem in problems):
            raise SourceError(problems)
        handle.message = _kinds(desired)
        work.log.note(f"{len(desired.source.taken)} files taken: {handle.message}.")
    _expansion_told(work, desired)
    return desired


def _read(work: Work, row: Sync, node: Node) -> Desired:
    """A damaged mirror is built anew, once: a fetch alone does not see what lies deeper than the branches' tips."""
    try:
        return desired_read(node=node, commit=row.commit)
    except MirrorDamaged as damage:
        repository = repository_of(node)
        assert repository is not None
        work.log.note(f"{damage} It is built anew.")
    repository_rebuild(repository=repository, work=work)
    return desired_read(node=node, commit=row.commit)


def names_verified(
    work: Work, row: Sync, node: Node, desired: Desired, *, client: NodeClient | None, fails: bool = True
) -> None:
    """Every `$ENV` and `$SECRET` to be verified or uploaded. Missing ones are kept, told, and raise NamesMissing.

    Without `fails` they are only told. `client` None: the node is not asked for what it has itself.
    """
    with work.step(stages.VERIFY) as handle:
        lacking = {
            "variables": _variables_missing(work, node, desired, client),
            "secrets": _secrets_missing(work, node, desired),
        }
        row.missing = names_kept(lacking)
        row.save(update_fields=["missing"])
        told = [_missing_told(work, what, names, desired) for what, names in lacking.items() if names]
        used = desired.references
        handle.message = f"{len(used.variables)} variables and {len(used.secrets)} secrets are used"
        if not told:
            return
        handle.message = f"Missing: {'; '.join(told)}."[:500]
        if fails:
            remedy = "Add them, or take away what uses them; the log names the files."
            raise NamesMissing(f"Missing: {'; '.join(told)}.", remedy)


def _login_masked(work: Work, repository: Repository) -> None:
    with contextlib.suppress(DecryptionError):  # the fetch says so, where it needs it
        work.mask(repository.access_token)


def _kinds(desired: Desired) -> str:
    """`12 pipes, 3 systems` of the node's own share."""
    found = Counter(entity.kind for entity in desired.configuration.entities.values())
    words = [f"{found[kind]} {kind}{'' if found[kind] == 1 else 's'}" for kind in ("pipe", "system")]
    return ", ".join([*words, *(["node metadata"] if found["metadata"] else [])])


def _problems_told(work: Work, problems: Sequence[Problem]) -> None:
    for problem in problems[:TOLD]:
        work.log.note(f"{'Problem' if problem.is_error else 'Warning'}: {problem}")
    if len(problems) > TOLD:
        work.log.note(f"And {len(problems) - TOLD} more; all of them are on the plan's page.")


def _expansion_told(work: Work, desired: Desired) -> None:
    with work.step(stages.EXPAND) as handle:
        expansion = desired.expansion
        if expansion is None:
            handle.skip("There are no extra nodes here.")
            return
        shares = {name: share for name, share in expansion.shares.items() if name}
        for name, share in shares.items():
            work.log.note(f"Extra node {name}: {len(share.entities)} entities, {len(share.replicas)} from templates.")
        replicas = sum(len(share.replicas) for share in expansion.shares.values())
        handle.message = f"{len(shares)} extra nodes, {replicas} entities from templates"


def _variables_missing(
    work: Work, node: Node, desired: Desired, client: NodeClient | None
) -> Mapping[str, Sequence[str]]:
    # ci is there for nothing else.
    if "variables" not in {*node.verify, *node.upload} and not node.is_ci:
        return {}
    settings = desired.source.settings
    if settings.variables_paths or settings.verified_paths:
        return desired.missing(None)["variables"]
    if client is None:
        work.log.note("Variables are not verified: Git has no file of them, and the node is not asked.")
        return {}
    # No file of them in Git: they are kept on the node itself.
    return missing(desired.references.variables, client.variables())


def _secrets_missing(work: Work, node: Node, desired: Desired) -> Mapping[str, Sequence[str]]:
    needed, store = desired.references.secrets, node.secret_store
    if "secrets" not in {*node.verify, *node.upload} or not needed:
        return {}
    if store is None:
        raise RunFailed(f"{node.name} has no secret store to look its {len(needed)} secrets up in.", "Choose one.")
    with store_opened(store) as reader:
        present = reader.present(sorted(needed))
    work.log.note(f"{len(present & needed.keys())} of {len(needed)} secrets are in {store.name}.")
    return desired.missing(present)["secrets"]


def _missing_told(work: Work, what: str, names: Mapping[str, Sequence[str]], desired: Desired) -> str:
    for name, files in list(names.items())[:TOLD]:
        where = desired.source.lacking(name) if what == "variables" else ()
        not_in = f" (not in {', '.join(where)})" if where else ""
        work.log.note(f"Missing {what[:-1]} {name}{not_in}, used in {some(files, FILES_TOLD)}")
    return f"{len(names)} {what if len(names) > 1 else what[:-1]} ({some(names)})"
