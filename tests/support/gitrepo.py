"""Real Git repositories for tests: a bare one as the server has it, and a working copy that pushes to it.

`shop = git_repo("shop")`, `sha = shop.commit({"index.html": "hello\\n"}, "Say hello")` pushes at once;
`shop.declare()` makes the database row. `shop.url` is its `file://` address.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from apps.repos.models import Repository

Content = str | bytes | None  # None removes the file


@dataclass
class GitRepo:
    name: str
    bare: Path  # what is pushed to, and fetched from
    tree: Path  # where commits are made
    clock: int = 1_700_000_000  # the next commit's time: fixed, a minute apart
    step: int = 60
    shas: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"file://{self.bare}"

    def git(self, *arguments: str | bytes, cwd: Path | None = None, stdin: bytes = b"") -> str:
        """What git prints; the test fails with its words when it fails."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.tree,
            env=self._environment(),
            input=stdin,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, f"git {arguments}: {done.stderr.decode(errors='replace')}"
        return done.stdout.decode(errors="replace").strip()

    def _environment(self) -> dict[str, str]:
        people = {"NAME": "Shop Coder", "EMAIL": "developer@shop.example", "DATE": f"{self.clock} +0000"}
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.tree.parent),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ALLOW_PROTOCOL": "file",
            **{f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in people.items()},
        }

    def make(self) -> None:
        self.tree.mkdir(parents=True)
        self.git("init", "-q", "--bare", "-b", "main", str(self.bare))
        self.git("init", "-q", "-b", "main", str(self.tree))
        self.git("remote", "add", "origin", str(self.bare))

    def write(self, files: Mapping[str | bytes, Content]) -> None:
        """Files of the working copy; a name ending in .sh is executable."""
        for name, content in files.items():
            path = self.tree / os.fsdecode(name)
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            path.chmod(0o755 if path.name.endswith(".sh") else 0o644)

    def commit(self, files: Mapping[Any, Content] | None = None, subject: str = "Change", *, push: bool = True) -> str:
        """Commit everything in the working copy on the branch it is on, and push that; the commit's number."""
        self.write(files or {})
        self.git("add", "-A", "-f", ".")
        self.git("commit", "-q", "--allow-empty", "-m", subject)
        self.clock += self.step
        sha = self.git("rev-parse", "HEAD")
        self.shas.append(sha)
        if push:
            self.push()
        return sha

    def history(self, count: int, subject: str = "Change {}", path: str = "a") -> list[str]:
        """`count` commits on the present branch at once, each writing its number into `path`; pushed. Quick."""
        branch = self.git("symbolic-ref", "HEAD")
        lines = []
        for number in range(count):
            message, content = subject.format(number).encode(), f"{number}\n".encode()
            lines += [
                b"commit " + branch.encode(),
                b"committer Shop Coder <developer@shop.example> %d +0000" % self.clock,
            ]
            lines += [
                b"data %d" % len(message),
                message,
                b"M 100644 inline " + path.encode(),
                b"data %d" % len(content),
            ]
            lines += [content]
            self.clock += self.step
        self.git("fast-import", "--quiet", stdin=b"\n".join(lines) + b"\n")
        self.git("reset", "-q", "--hard")
        self.push()
        made = self.git("rev-list", "--reverse", f"--max-count={count}", "HEAD").split()
        self.shas += made
        return made

    def push(self, *refspecs: str) -> None:
        """Push (forced) what is named, or the branch that the working copy is on."""
        self.git("push", "-q", "--force", "origin", *(refspecs or ("HEAD",)))

    def branch(self, name: str, start: str = "HEAD") -> None:
        """A new branch at `start`, to be on from now. The name may be hostile."""
        sha = self.git("rev-parse", start)
        self.git("update-ref", f"refs/heads/{name}", sha)
        self.git("symbolic-ref", "HEAD", f"refs/heads/{name}")
        self.git("reset", "-q", "--hard")

    def switch(self, name: str) -> None:
        self.git("symbolic-ref", "HEAD", f"refs/heads/{name}")
        self.git("reset", "-q", "--hard")
        self.git("clean", "-q", "-f", "-d")

    def tag(self, name: str, message: str = "", *, sha: str = "HEAD") -> None:
        self.git("tag", *(["-a", "-m", message] if message else []), "--", name, sha)
        self.push(f"refs/tags/{name}")

    def delete(self, *names: str) -> None:
        """Branches to delete on the server."""
        self.push(*(f":refs/heads/{name}" for name in names))

    def declare(self, **fields: Any) -> Repository:
        """The row in the database."""
        from apps.repos.models import Repository

        return Repository.objects.create(**({"name": self.name, "url": self.url} | fields))


def git_repo_make(folder: Path, name: str = "shop") -> GitRepo:
    """A repository without commits in `folder`."""
    repo = GitRepo(name, folder / f"{name}.git", folder / f"{name}-tree")
    repo.make()
    return repo


@pytest.fixture
def git_repo(tmp_path: Path) -> Callable[..., GitRepo]:
    """A factory: `git_repo("shop")`, empty; the first `commit` makes `main`."""

    def make(name: str = "shop") -> GitRepo:
        return git_repo_make(tmp_path / "forge", name)

    return make
