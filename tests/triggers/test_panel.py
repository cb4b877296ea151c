"""A real panel hears of pushes, by a webhook and by its own looks, and a process of its own fetches them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.support.gitrepo import GitRepo
from tests.support.panel import Panel, wait_for
from tests.triggers.conftest import SECRET, body_of, headers_of

pytestmark = [pytest.mark.panel, pytest.mark.timeout(300)]


def declare(panel: Panel, repo: GitRepo, poll_interval: int | None) -> Path:
    """The repository in the panel's database; the folder of its mirror."""
    number = panel.python(
        "from apps.repos.models import Repository\n"
        f"print(Repository.objects.create(name={repo.name!r}, url={repo.url!r}, webhook_secret={SECRET!r}, "
        f"poll_interval={poll_interval}).pk)"
    ).split()[-1]
    return panel.data / "mirrors" / f"{number}.git"


def has(mirror: Path, sha: str) -> bool:
    """Whether main of the mirror is there, without asking Git (whose lock it may be)."""
    for place in (mirror / "refs/heads/main", mirror / "packed-refs"):
        with suppress(OSError):  # not there, or packed or replaced at this moment
            if sha in place.read_text():
                return True
    return False


def test_pushes_are_fetched(panel: Panel, git_repo: Callable[..., GitRepo]) -> None:
    told, polled = git_repo("shop"), git_repo("till")
    first, till = told.commit({"a": "1\n"}), polled.commit({"a": "1\n"})
    mirror, other = declare(panel, told, None), declare(panel, polled, 5)

    body = body_of("git_push", after=first, at="1")
    answer = requests.post(f"{panel.url}/hooks/git", body, headers=headers_of("git", body), timeout=60)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    wait_for(lambda: has(mirror, first), 60, panel.output)  # by the webhook
    wait_for(lambda: has(other, till), 60, panel.output)  # by a look

    second = polled.commit({"a": "2\n"})
    wait_for(lambda: has(other, second), 60, panel.output)
    assert requests.post(f"{panel.url}/hooks/git", body, headers={}, timeout=60).status_code == 401
    assert requests.get(f"{panel.url}/hooks/git", timeout=60).status_code == 405
