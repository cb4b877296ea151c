"""One commit pushed to one branch, never forced; what the server says to it as an error with a remedy."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from django.conf import settings

from apps.repos import git
from apps.repos.errors import GitError, LoginRefused, PushOvertaken, PushRefused, Unreachable
from apps.repos.faults import fault
from apps.runs import process
from apps.runs.errors import ProcessTimeout

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from apps.repos.credentials import Login
    from apps.repos.mirror import Caller

# What servers say when another push was quicker, here or on their own disk.
_OVERTAKEN = re.compile(
    r"(?i)fetch first|non-fast-forward|stale info|cannot lock ref|incorrect old value|reference already exists|"
    r"failed to (update|lock)|needs force|but expected"
)
_READ_ONLY = re.compile(r"(?i)marked as read.only|permission to .* denied|not allowed to push|deploy key|write access")
_LINES = 6  # of the server's own words in an error


def push(
    mirror: Path, login: Login, env: Mapping[str, str], *, sha: str, branch: str, caller: Caller | None = None
) -> None:
    """Push `sha` to `branch` with an environment that can log in. It and what Git says goes to the caller's log.

    Raises PushOvertaken when the branch is elsewhere by now, PushRefused (a protected branch, a hook),
    LoginRefused, Unreachable, another GitError: of those that may have reached the server, ask it what it has.
    """
    argv = git.command(mirror, "push", "--porcelain", "--no-verify", "--", login.url, f"{sha}:refs/heads/{branch}")
    if caller:
        caller.note(f"$ {shlex.join(argv)}")
        caller.check()
    try:
        done = process.run(argv, env=git.environment(env), timeout=settings.GIT_TIMEOUT)
    except ProcessTimeout as slow:
        raise Unreachable(f"{login.remote.host or 'This machine'} did not take the push in time: {slow}") from None
    said = git.text_of(done.err + b"\n" + done.out).strip()
    if caller:
        for line in filter(str.strip, said.splitlines()):
            caller.note(line)
    if done.status != 0:
        raise _error(said, done.status, login, branch)


def _error(said: str, status: int, login: Login, branch: str) -> GitError:
    place = login.remote.host or "this machine"
    refused = [line for line in said.splitlines() if line.startswith("!\t")]
    if not refused:
        if _READ_ONLY.search(said):
            return LoginRefused(
                f"{place} lets this log-in read {login.remote.path} but not push to it: {_words(said)}", said
            )
        return fault(said, status, login)
    reason = refused[0].split("\t")[-1]
    if _OVERTAKEN.search(reason):
        return PushOvertaken(f"{branch} has moved on {place} meanwhile: {reason}.", said)
    return PushRefused(
        f"{place} refuses the push to {branch}: {reason}. {_words(said)} "
        "Let this log-in push to the branch, or choose another branch.",
        said,
    )


def _words(said: str) -> str:
    """What the server, or a hook of it, said in its own words."""
    words = [line.removeprefix("remote:").strip() for line in said.splitlines() if line.startswith("remote:")]
    told = [word for word in words if word][:_LINES]
    return f"It says: {' '.join(told)[:600]}" if told else "It gives no reason."
