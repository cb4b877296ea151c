"""Mirrors of repositories that were deleted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

from apps.repos import mirror, services
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db


def test_mirrors_of_deleted_repositories_are_pruned(git_repo: Callable[..., GitRepo]) -> None:
    kept, gone = git_repo("kept").declare(), git_repo("gone").declare()
    for repository in (kept, gone):
        services.repository_fetch(repository=repository)
    assert services.mirrors_prune() == 0
    number, path, folder = gone.pk, mirror.mirror_path(gone.pk), Path(settings.MIRROR_DIR)
    for name in ("notes.git", f"{number}0.txt", "README"):
        (folder / name).touch()
    gone.delete()
    with mirror.locked(path):
        assert services.mirrors_prune() == 0
    assert (path / "HEAD").exists()
    assert services.mirrors_prune() == 1
    left = {path.name for path in folder.iterdir()}
    others = {name for name in left if not name.startswith(f"{kept.pk}.")} - {"home"}
    assert others == {"notes.git", f"{number}0.txt", "README"}
    assert (mirror.mirror_path(kept.pk) / "HEAD").exists()
    assert services.mirrors_prune() == 0
