"""The script that the repository's page offers, in a real repository, pushed to, telling a real server."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import requests

from apps.environments.models import Deployment, Environment
from apps.repos.models import Repository
from apps.repos.post_receive import post_receive_script
from apps.triggers.models import Delivery
from tests.support.gitrepo import GitRepo
from tests.triggers.conftest import SECRET

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
TOOLS = ("sh", "git", "curl", "dirname", "cat", "sed", "tr", "id", "date", "openssl", "git-receive-pack")


@pytest.fixture
def hooked(git_repo: Callable[..., GitRepo], staging: Environment, live_server: Any) -> GitRepo:
    shop = git_repo()
    Repository.objects.update(url=shop.url)
    hook = shop.bare / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(post_receive_script("shop", live_server.url))
    hook.chmod(0o755)
    (hook.parent / "deploypanel.secret").write_text(SECRET + "\n")
    # The first answer of a process takes longest, and the script gives up after ten seconds.
    assert requests.get(f"{live_server.url}/hooks/git", timeout=60).status_code == 405
    return shop


def push(shop: GitRepo, *refspecs: str, path: str = "") -> str:
    """What the person who pushes gets to see."""
    environment = shop._environment() | ({"PATH": path} if path else {})
    done = subprocess.run(
        ["git", "push", "--force", "origin", *refspecs], cwd=shop.tree, env=environment, capture_output=True, check=True
    )
    return done.stderr.decode()


def test_a_push_deploys_and_tells_the_pusher(hooked: GitRepo) -> None:
    sha = hooked.commit({"a": "1\n"}, push=False)
    said = push(hooked, "main")
    deployment = Deployment.objects.get()
    assert deployment.commit == sha
    assert f"remote: Deploypanel: shop/staging: run #{deployment.run_id} started" in said
    assert Delivery.objects.get().ref == "refs/heads/main"


def test_several_refs_odd_names_and_a_deletion(hooked: GitRepo) -> None:
    hooked.commit({"a": "1\n"}, push=False)
    push(hooked, "main:refs/heads/feature/x", 'main:refs/heads/a"b;$(id)', "main:refs/tags/v1")
    push(hooked, ":refs/heads/feature/x")
    told = list(Delivery.objects.order_by("pk").values_list("ref", "after"))
    assert {ref for ref, _ in told} == {"refs/heads/feature/x", 'refs/heads/a"b;$(id)', "refs/tags/v1"}
    assert told[-1] == ("refs/heads/feature/x", "")


def test_a_wrong_secret_or_none_lets_the_push_succeed(hooked: GitRepo) -> None:
    hooked.commit({"a": "1\n"}, push=False)
    (hooked.bare / "hooks/deploypanel.secret").write_text("wrong")
    assert "signature or token is missing or wrong" in push(hooked, "main")
    (hooked.bare / "hooks/deploypanel.secret").unlink()
    assert "cannot be read" in push(hooked, "main:other")
    assert Delivery.objects.count() == 0


def test_without_perl(hooked: GitRepo, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        if found := which(name):
            (tools / name).symlink_to(found)
    if not (tools / "openssl").exists():
        pytest.skip("openssl is not installed")
    hooked.commit({"a": "1\n"}, push=False)
    assert "run #" in push(hooked, "main", path=str(tools))
