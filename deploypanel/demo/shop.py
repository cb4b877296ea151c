"""The demo's repositories: bare ones with some history, and a working clone of each to push from."""

from __future__ import annotations

import secrets
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from apps.access.errors import InputError
from apps.repos.post_receive import post_receive_script
from apps.runs.process import environment, run

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = ("shop", "conf")
SITE = Path(__file__).parent / "site"
# One folder of `site` on top of the other is one commit after the other.
COMMITS = (
    ("1", "Shop Front Team", "Announce the shop"),
    ("2", "Shop Back Team", "Show the products"),
    ("3", "Shop Front Team", "Warm up and test each host"),
    ("4", "Shop Back Team", "Lower the tea pot's price, add a biscuit tin"),
)


def shop_make(folder: Path) -> None:
    """`shop.git` with its history and its hook, and the clone `shop`."""
    repository_make(folder, "shop", SITE, COMMITS)


def repository_make(folder: Path, name: str, content: Path, commits: Sequence[tuple[str, str, str]]) -> None:
    """A repository and its clone, with a commit for each part of the content: (part, author, subject)."""
    bare, clone = folder / f"{name}.git", folder / name
    for old in (bare, clone):
        shutil.rmtree(old, ignore_errors=True)
    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    git("clone", "--quiet", str(bare), str(clone))
    git("switch", "--quiet", "--create", "main", at=clone)
    # Who pushes from here is the one who tries the demo; without a name of theirs git would refuse to commit.
    git("config", "user.name", "Demo", at=clone)
    git("config", "user.email", "demo@shop.example", at=clone)
    for age, (part, author, subject) in zip(range(len(commits), 0, -1), commits, strict=True):
        shutil.copytree(content / part, clone, dirs_exist_ok=True)
        git("add", "--all", at=clone)
        _commit(clone, author, subject, datetime.now(UTC) - timedelta(days=age))
    git("push", "--quiet", "--set-upstream", "origin", "main", at=clone)
    secret = bare / "hooks" / "deploypanel.secret"
    secret.write_text(secrets.token_urlsafe(32) + "\n", encoding="ascii")
    secret.chmod(0o600)
    hooks_write(folder)


def hooks_write(folder: Path) -> None:
    """The hook that the panel offers for every repository, told where this panel listens now."""
    for name in NAMES:
        hook = folder / f"{name}.git" / "hooks" / "post-receive"
        if hook.parent.exists():
            hook.write_text(post_receive_script(name, panel_address()), encoding="utf-8")
            hook.chmod(0o755)


def panel_address() -> str:
    """Where the panel is reached from its own machine, whatever its public address."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared, not bound
    bind = everywhere.get(settings.BIND, f"[{settings.BIND}]" if ":" in settings.BIND else settings.BIND)
    return f"http://{bind}:{settings.PORT}"


def git(*arguments: str, at: Path | None = None, **more: str) -> None:
    """Run git with no configuration but the repository's own; raises InputError with what it said."""
    variables = environment(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null", **more)
    done = run(["git", *arguments], cwd=at, env=variables, timeout=60)
    if done.status:
        raise InputError(f"git {arguments[0]} failed: {done.err.decode(errors='replace').strip()}")


def _commit(clone: Path, author: str, subject: str, at: datetime) -> None:
    mail = f"{author.split(maxsplit=1)[0].lower()}@shop.example"
    who = {"NAME": author, "EMAIL": mail, "DATE": at.isoformat(timespec="seconds")}
    variables = {f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in who.items()}
    git("commit", "--quiet", "--message", subject, at=clone, **variables)
