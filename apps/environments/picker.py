"""What the commit picker offers: branches, pages of commits, and what lies between two commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.access.asked import number_of
from apps.access.errors import InputError, PanelError
from apps.repos import selectors as repos

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from apps.environments.models import Environment
    from apps.repos.git import Commit
    from apps.repos.selectors import Comparison

PAGE = 50
COMMITS_SHOWN = 100
FILES_SHOWN = 300


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a person has picked: the newest of a branch, one commit of it, or any other ref; and where it goes."""

    branch: str
    commit: str
    ref: str
    target: str

    @classmethod
    def of(cls, environment: Environment, fields: Mapping[str, str]) -> Choice:
        """From the fields of a form or an address; the branch is the environment's unless another is named."""
        return cls(
            branch=fields.get("branch", "").strip() or environment.branch,
            commit=fields.get("commit", "").strip(),
            ref=fields.get("ref", "").strip(),
            target=fields.get("target", "").strip(),
        )

    @property
    def wanted(self) -> str:
        """The ref to resolve: what was typed wins over what was picked."""
        return self.ref or self.commit or self.branch


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a deployment of `commit` would bring, seen from the deployed one. `comparison` is None where there is
    nothing to compare: the first deployment, the same commit, or a deployed one that the mirror no longer has."""

    commit: Commit
    deployed: str
    comparison: Comparison | None = None
    removed: Sequence[Commit] = ()  # what the deployed side has alone: it would be taken back

    @property
    def is_same(self) -> bool:
        return self.commit.sha == self.deployed

    def as_json(self) -> dict[str, Any]:
        found = self.comparison
        return {
            "commit": commit_json(self.commit),
            "deployed": self.deployed,
            "same": self.is_same,
            "compared": found is not None,
            "added": found.commits_total if found else 0,
            "removed": found.behind_total if found else 0,
            "files": found.files_total if found else 0,
        }


def branch_names(environment: Environment) -> tuple[list[str], str]:
    """The repository's branches, the environment's first, and what is wrong when they cannot be read."""
    try:
        names = [ref.name for ref in repos.branches(environment.repository)]
    except PanelError as error:
        return [environment.branch], str(error)
    return sorted({*names, environment.branch}, key=lambda name: (name != environment.branch, name)), ""


def commits_page(environment: Environment, fields: Mapping[str, str]) -> dict[str, Any]:
    """One page of commits as JSON; raises PanelError when the branch is unknown or nothing is fetched yet."""
    number = _page_number(fields.get("page", "1"))
    found = repos.commits(
        environment.repository,
        fields.get("branch", "").strip() or environment.branch,
        limit=PAGE + 1,
        skip=(number - 1) * PAGE,
        search=fields.get("search", "").strip(),
    )
    return {
        "page": number,
        "more": len(found) > PAGE,
        "deployed": environment.deployed_commit,
        "commits": [commit_json(commit) for commit in found[:PAGE]],
    }


def _page_number(text: str) -> int:
    number = number_of(text)
    if number is None or not 1 <= number <= 10_000:
        raise InputError(f"{text[:20]!r} is not a page number", "page")
    return number


def commit_json(commit: Commit) -> dict[str, str]:
    return {
        "sha": commit.sha,
        "short": commit.sha[:8],
        "subject": commit.subject,
        "author": commit.author,
        "at": commit.at.isoformat(),
    }


def difference_read(environment: Environment, ref: str) -> Difference:
    """Compare `ref` with the deployed commit; raises PanelError when the mirror does not know `ref`."""
    repository = environment.repository
    commit = repos.commit_resolve(repository, ref or environment.branch)
    old = _known(environment)
    if not old or old == commit.sha:
        return Difference(commit=commit, deployed=environment.deployed_commit)
    found = repos.comparison(repository, old, commit.sha, commits=COMMITS_SHOWN, files=FILES_SHOWN)
    removed = repos.commits_between(repository, commit.sha, old, limit=COMMITS_SHOWN) if found.behind_total else ()
    return Difference(commit=commit, deployed=old, comparison=found, removed=removed)


def _known(environment: Environment) -> str:
    """The deployed commit, if the mirror has it (a forced push may have taken it away)."""
    if not environment.deployed_commit:
        return ""
    try:
        return repos.commit_resolve(environment.repository, environment.deployed_commit).sha
    except PanelError:
        return ""
