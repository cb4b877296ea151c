"""The commit as a tree on the panel's machine, and the scripts that run there."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from apps.access.errors import DecryptionError
from apps.repos.selectors import branches, commit_resolve
from apps.repos.services import repository_export, repository_fetch, tree_times_settle
from apps.repos.tree import safe_file
from apps.runs import process
from apps.runs.errors import RunFailed

if TYPE_CHECKING:
    from pathlib import Path

    from apps.environments.pipeline.plan import Plan
    from apps.repos.git import Commit
    from apps.runs.work import Work

FETCH, BUILD, LOCAL_TESTS = "fetch", "build", "local tests"
STAGES = (FETCH, BUILD, LOCAL_TESTS)
PREDEPLOY, DEPLOY = "predeploy.sh", "deploy.sh"
RUN_LOCAL_TESTS, RUN_TESTS = "tests/run_local_tests.sh", "tests/run_tests.sh"


def commit_found(work: Work, plan: Plan, ref: str, commit: str) -> Commit:
    """Fetch, and the commit that is meant; sets the plan's commit and branch. Raises GitError, NotFound."""
    # Scripts of the tree may print what they find; keys never leave the agent.
    with contextlib.suppress(DecryptionError):  # the fetch says so, where it needs it
        work.mask(plan.repository.access_token)
    with work.step(FETCH) as handle:
        repository_fetch(repository=plan.repository, work=work, commit=commit)
        found = commit_resolve(plan.repository, commit or ref)
        plan.commit = found.sha
        plan.branch = _branch(plan, ref)
        handle.message = f"{found.sha[:8]} {found.subject}"[:200]
        work.log.note(f"Commit {found.sha} of {plan.branch}: {found.subject} ({found.author})")
    return found


def _branch(plan: Plan, ref: str) -> str:
    """What release files and scripts call the branch: the ref itself, unless it is a bare commit."""
    known = {found.name for found in branches(plan.repository)}
    name = ref.removeprefix("refs/heads/")
    if name in known:
        return name
    return plan.environment.branch if plan.commit.startswith(ref.lower()) else ref.removeprefix("refs/tags/")


def tree_exported(work: Work, plan: Plan, kept: Path | None = None) -> Path:
    """The commit's files, in the run's own folder, or in the environment's kept tree."""
    exported = repository_export(
        repository=plan.repository, sha=plan.commit, folder=work.folder / "tree", work=work, kept=kept
    )
    for warning in exported.warnings:
        work.log.note(f"Warning: {warning}")
    plan.files = exported.files
    work.check()
    return exported.folder


def tree_built(work: Work, plan: Plan, kept: Path | None) -> Path:
    """The tree as it is to be copied: `predeploy.sh` has run in it and is gone."""
    with work.step(BUILD) as handle:
        folder = tree_exported(work, plan, kept)
        status = _script(work, folder, PREDEPLOY, [plan.environment.name, plan.commit])
        handle.exit_status = status
        if status:
            raise RunFailed(f"{PREDEPLOY} ended with status {status}: nothing was copied.", "See its last lines above.")
        if status is not None:
            (folder / PREDEPLOY).unlink(missing_ok=True)
            tree_times_settle(repository=plan.repository, folder=folder)
        handle.message = f"{plan.files} files" + ("" if status is None else f", {PREDEPLOY} done")
    _local_tests(work, plan, folder)
    for name in (DEPLOY, RUN_TESTS):
        if safe_file(folder, name) is not None:
            plan.scripts.add(name)
    return folder


def _local_tests(work: Work, plan: Plan, folder: Path) -> None:
    arguments = [plan.environment.name, socket.gethostname(), plan.branch, plan.commit]
    with work.step(LOCAL_TESTS) as handle:
        status = _script(work, folder, RUN_LOCAL_TESTS, arguments)
        handle.exit_status = status
        if status is None:
            handle.skip(f"There is no {RUN_LOCAL_TESTS}.")
        elif status and plan.environment.fail_on_tests:
            raise RunFailed(f"{RUN_LOCAL_TESTS} ended with status {status}: nothing was copied.")
        elif status:
            handle.message = f"Failed with status {status}, which this environment tolerates."
            work.log.note(f"Warning: {RUN_LOCAL_TESTS} ended with status {status}; the deployment goes on.")


def _script(work: Work, folder: Path, name: str, arguments: list[str]) -> int | None:
    """Run a script of the tree in the tree, in a clean environment; None when there is none. Raises UnsafePath."""
    script = safe_file(folder, name)
    if script is None:
        return None
    script.chmod(script.stat().st_mode | 0o700)
    with script.open("rb") as file:
        starts_itself = file.read(2) == b"#!"
    argv = [str(script), *arguments] if starts_itself else ["sh", str(script), *arguments]
    return work.execute(argv, cwd=folder, env=process.environment(**work.marker))
