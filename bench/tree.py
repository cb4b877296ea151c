"""The measured code: a Git repository with a tree of many files, partly compressible as real ones are."""

from __future__ import annotations

import os
import random
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WORDS = [f"word{number}" for number in range(2000)]


def make(folder: Path, *, files: int, size: int) -> None:
    """A repository at `folder` with one commit of `files` files of `size` bytes in all."""
    dice = random.Random(20)
    each = size // files
    git(folder.parent, "init", "-q", "-b", "main", str(folder))
    for number in range(files):
        path = folder / f"part{number % 50:02}" / f"section{number % 7}" / f"file{number:05}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 4 == 0:
            path.write_bytes(dice.randbytes(each))  # pictures and archives do not compress
        else:
            path.write_text((" ".join(dice.choices(WORDS, k=each // 6)))[:each])
    commit(folder, "First commit")


def change_one(folder: Path, number: int) -> None:
    """One more commit that changes one file."""
    (folder / "part00" / "changed.txt").write_text(f"change {number}\n" * 100)
    commit(folder, f"Change {number}")


def write_script(folder: Path, name: str, text: str) -> None:
    """One more commit that adds a script of the deployment."""
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    commit(folder, f"Add {name}")


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)


def git(folder: Path, *words: str) -> None:
    identity = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Bench"), ("EMAIL", "bench@localhost"))
    }
    environment = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": "/dev/null"}
    subprocess.run(["git", *words], cwd=folder, env=environment, check=True)


def head(folder: Path) -> str:
    """The commit that is checked out."""
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()
