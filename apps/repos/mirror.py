"""Bare mirrors: made, brought up to date, found damaged, rebuilt. Whoever writes one holds its lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from django.conf import settings

from apps.repos import credentials, git, history
from apps.repos.errors import GitError, MirrorDamaged, Unreachable
from apps.runs.errors import ProcessTimeout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from apps.repos.credentials import Login

REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


class Caller(Protocol):
    """What a fetch needs of the one who asked for it."""

    def note(self, text: str) -> None: ...
    def check(self) -> None:
        """Raises to give up."""

    def execute(self, argv: list[str], env: Mapping[str, str]) -> int:
        """Run it where its output can be followed, and return its exit status."""


@dataclass(frozen=True, kw_only=True)
class RefChange:
    """`before` is empty for a new ref, `after` for one that is gone. `name` is the full name (`refs/heads/…`)."""

    name: str
    before: str
    after: str


def mirror_path(number: int) -> Path:
    return Path(settings.MIRROR_DIR) / f"{number}.git"


def numbers() -> list[int]:
    """Of all mirrors on this machine."""
    names = (path.stem for path in Path(settings.MIRROR_DIR).glob("*.git"))
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def remove(mirror: Path) -> bool:
    """Remove a mirror and all that is beside it for it; False while another process is at work on it."""
    with mirror.with_suffix(".lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        beside = [path for path in mirror.parent.glob(f"{mirror.stem}.*") if path != mirror]
        for left in (*beside, mirror):  # it last: if this is cut short, it is found again
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
    return True


@contextlib.contextmanager
def locked(mirror: Path, caller: Caller | None = None) -> Iterator[None]:
    """Alone with this mirror on this machine. Waits up to GIT_TIMEOUT seconds; the caller may give up earlier."""
    mirror.parent.mkdir(parents=True, exist_ok=True)
    deadline, told = time.monotonic() + settings.GIT_TIMEOUT, False
    with mirror.with_suffix(".lock").open("ab") as file:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if caller and not told:
                caller.note("Another fetch of this repository is at work; waiting for it.")
                told = True
            if caller:
                caller.check()
            if time.monotonic() > deadline:
                raise GitError("Another fetch of this repository has not ended in time. Try again later.")
            time.sleep(0.03)
        yield  # closing the file frees the lock, also when this process is killed


def fetched_since(mirror: Path, url: str, moment: float) -> bool:
    """Whether a fetch from `url` that began after `moment` (seconds since the epoch) has succeeded."""
    try:
        stamp = json.loads(mirror.with_suffix(".fetched").read_text(encoding="utf-8"))
        return stamp["url"] == url and float(stamp["began"]) >= moment and (mirror / "HEAD").exists()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def fetch(mirror: Path, login: Login, caller: Caller | None = None) -> list[RefChange]:
    """Bring the mirror up to date with its server; a damaged one is built anew. The caller holds the lock."""
    began = time.time()
    before = refs(mirror) if (mirror / "HEAD").exists() else {}
    with credentials.opened(
        login, connect_timeout=settings.SSH_CONNECT_TIMEOUT, keepalive=settings.SSH_KEEPALIVE
    ) as env:
        try:
            prepare(mirror)
            _fetch_into(mirror, login, env, caller)
            after = refs(mirror)
            _check_tips(mirror, after)
        except MirrorDamaged as damage:
            if caller:
                caller.note(f"{damage} It is built anew.")
            _rebuild(mirror, login, env, caller)
            after = refs(mirror)
        _point_head(mirror, login, env, after)
    stamp = mirror.with_suffix(".fetched")
    fresh = stamp.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps({"url": login.url, "began": began}), encoding="utf-8")
    fresh.replace(stamp)
    return changes_between(before, after)


def changes_between(before: Mapping[str, str], after: Mapping[str, str]) -> list[RefChange]:
    return [
        RefChange(name=name, before=before.get(name, ""), after=after.get(name, ""))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def refs(mirror: Path) -> dict[str, str]:
    """Every branch and tag by full name, with what it points at. Empty when they cannot even be listed."""
    try:
        raw = git.call(mirror, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/", "refs/tags/")
    except GitError:
        return {}
    return dict(reversed(git.text_of(line).split(" ", 1)) for line in raw.splitlines())  # type: ignore[misc]


def remote_refs(login: Login) -> dict[str, str]:
    """The server's branches by full name: one question, nothing is fetched. Raises GitError."""
    with credentials.opened(
        login, connect_timeout=settings.SSH_CONNECT_TIMEOUT, keepalive=settings.SSH_KEEPALIVE
    ) as env:
        raw = git.call(None, "ls-remote", "--heads", "--", login.url, env=env, timeout=60, login=login)
    found = (git.text_of(line).split("\t", 1) for line in raw.splitlines())
    return {parts[1]: parts[0] for parts in found if len(parts) == 2}


def remote_tips(login: Login, refs: Iterable[str], timeout: float) -> dict[str, str]:
    """The commits that branches, else tags, lead to on the server; empty where it has neither.

    One question for all of them, answered within `timeout` seconds, and nothing is fetched. Raises GitError.
    """
    wanted = {ref: _spellings(ref) for ref in refs}
    asked = sorted({name for names in wanted.values() for name in names})
    if not asked:
        return dict.fromkeys(wanted, "")
    with credentials.opened(
        login, connect_timeout=min(settings.SSH_CONNECT_TIMEOUT, int(timeout) or 1), keepalive=settings.SSH_KEEPALIVE
    ) as env:
        try:
            raw = git.call(None, "ls-remote", "--", login.url, *asked, env=env, timeout=timeout, login=login)
        except ProcessTimeout:
            place = login.remote.host or "this machine"
            where = ", ".join(wanted)[:200]
            raise Unreachable(f"{place} did not say within {timeout:g} seconds where {where} is.") from None
    # Git takes what it is asked for as the end of a name: others may be among the answers.
    answers = [git.text_of(line).partition("\t") for line in raw.splitlines()]
    found = {name: sha for sha, _, name in answers}
    return {ref: next((found[name] for name in names if name in found), "") for ref, names in wanted.items()}


def _spellings(ref: str) -> list[str]:
    """The full names of a ref in the order in which they count. Where an annotated tag leads goes before the tag."""
    names = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    return [spelled for name in names if history.ref_is_possible(name) for spelled in (f"{name}^{{}}", name)]


def tidy(mirror: Path) -> None:
    """Let Git pack what has piled up. Commits that no branch holds any more stay: they may be deployed."""
    with contextlib.suppress(GitError):
        git.call(mirror, "gc", "--auto", "--quiet", timeout=settings.GIT_TIMEOUT)


def rebuild(mirror: Path, login: Login, caller: Caller | None = None) -> None:
    """Fetch everything into a new mirror beside the old one and put it in its place. The caller holds the lock."""
    with credentials.opened(
        login, connect_timeout=settings.SSH_CONNECT_TIMEOUT, keepalive=settings.SSH_KEEPALIVE
    ) as env:
        _rebuild(mirror, login, env, caller)
        _point_head(mirror, login, env, refs(mirror))


def prepare(mirror: Path) -> None:
    """Make the mirror if there is none, and remove the locks of a Git that was killed. The caller holds the lock."""
    if not mirror.exists():
        git.call(None, "init", "--quiet", "--bare", "--template=", "--", str(mirror))
        return
    if not (mirror / "HEAD").exists() or not (mirror / "objects").is_dir():
        raise MirrorDamaged("The mirror is damaged: its folder is no repository any more.")
    for left in [*mirror.glob("*.lock"), *(mirror / "refs").rglob("*.lock"), *mirror.glob("objects/**/tmp_*")]:
        with contextlib.suppress(OSError):
            left.unlink()


def _fetch_into(mirror: Path, login: Login, env: Mapping[str, str], caller: Caller | None) -> None:
    options = ["--prune", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"]
    arguments = ["fetch", *options, "--progress" if caller else "--quiet", "--", login.url, *REFSPECS]
    if caller is None:
        git.call(mirror, *arguments, env=env, timeout=settings.GIT_TIMEOUT, login=login)
        return
    status = caller.execute(git.command(mirror, *arguments), git.environment(env))
    if status != 0:
        caller.check()
        # The words of the failure went into the log. A short question gets them again, if the server is the reason.
        git.call(None, "ls-remote", "--heads", "--", login.url, env=env, timeout=60, login=login)
        raise MirrorDamaged(f"Git could not fetch (exit status {status}), though the server answers.")


def _check_tips(mirror: Path, known: Mapping[str, str]) -> None:
    """Each branch and tag leads to an object that is there: what a fetch itself does not look at."""
    tips = sorted(set(known.values()))
    if tips:
        raw = git.call(mirror, "cat-file", "--batch-check", stdin="".join(f"{tip}^{{}}\n" for tip in tips).encode())
        lost = [line for line in raw.splitlines() if line.endswith(b" missing")]
        if lost:
            raise MirrorDamaged(f"The mirror is damaged: {len(lost)} branches or tags lead to nothing.")
        return
    git.call(mirror, "rev-parse", "--git-dir")


def _rebuild(mirror: Path, login: Login, env: Mapping[str, str], caller: Caller | None) -> None:
    fresh, broken = mirror.with_suffix(".new"), mirror.with_suffix(".broken")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(broken, ignore_errors=True)
    try:
        git.call(None, "init", "--quiet", "--bare", "--template=", "--", str(fresh))
        try:
            _fetch_into(fresh, login, env, caller)
        except MirrorDamaged as error:  # a mirror just made cannot be: the server's copy is
            raise GitError(f"The repository cannot be fetched whole: {error}", error.said) from None
        if mirror.exists():
            mirror.rename(broken)
        fresh.rename(mirror)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(broken, ignore_errors=True)


def _point_head(mirror: Path, login: Login, env: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Let the mirror's HEAD name the server's main branch. Asked only when it names none of those it has."""
    current = (mirror / "HEAD").read_text(encoding="utf-8", errors="replace").removeprefix("ref: ").strip()
    if current in known or not known:
        return
    raw = git.call(None, "ls-remote", "--symref", "--", login.url, "HEAD", env=env, timeout=60, login=login)
    named = [line.split(b"\t")[0] for line in raw.splitlines() if line.startswith(b"ref: ")]
    target = git.text_of(named[0].removeprefix(b"ref: ")) if named else ""
    if target not in known:
        target = next((name for name in known if name.startswith("refs/heads/")), "")
    if target:
        git.call(mirror, "symbolic-ref", "HEAD", target)
