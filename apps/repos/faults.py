"""What Git means by what it says when it fails: as an error with a sentence and a remedy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from apps.repos.errors import (
    GitError,
    HostKeyRefused,
    LoginRefused,
    MirrorDamaged,
    RemoteMissing,
    Unreachable,
)

if TYPE_CHECKING:
    from apps.repos.credentials import Login
    from apps.repos.remote import Remote

_DAMAGE = re.compile(
    r"(?i)is corrupt|corrupt(ed)? |missing (blob|tree|commit|object|necessary)|bad object|unable to read|"
    r"object file .* is empty|could not parse|inflate:|packfile .* (cannot|is far too)|bad tree object|"
    r"not a git repository|index file .* is too small|wrong index|bad pack|did not send all necessary|"
    r"unable to parse|invalid sha1 pointer|missing object|bad config line|loose object .* not|non-blob|"
    r"cannot read '?[0-9a-f]{40}"
)
_MISSING = re.compile(
    r"(?i)repository .*not found|does not appear to be a git repository|project you were looking for could not be"
    r"|no such file or directory|does not exist|error: 404|repository not exported|not found: did you run"
)
_LOGIN = re.compile(
    r"(?i)permission denied \(|authentication failed|invalid username or|could not read (username|password)|"
    r"error: 40[13]|too many authentication failures|access denied|load key .*(libcrypto|invalid format)"
)
_AWAY = re.compile(
    r"(?i)could not resolve host|connection refused|timed out|timeout|no route to host|network is unreachable|"
    r"failed to connect|connection (closed|reset)|couldn't connect|temporary failure in name|early eof|"
    r"unexpected disconnect|the remote end hung up|operation too slow|ssl|certificate|broken pipe|not responding"
)

_UNSOUND = re.compile(r"(?m)^(?:remote: )?error: object [0-9a-f]{40,64}: (\w+): (.*)$")


def fault(said: str, status: int, login: Login | None = None) -> GitError:
    """The error that Git's words mean. With `login`, it spoke to a server."""
    said = said.strip()
    if login and (known := _server_fault(said, login)):
        return known
    if _DAMAGE.search(said):
        return MirrorDamaged(f"The mirror is damaged: {_last_line(said)}", said)
    return GitError(f"Git failed (exit status {status}): {_last_line(said)}", said)


def _server_fault(said: str, login: Login) -> GitError | None:
    """What the server, or the way to it, is the reason of."""
    remote = login.remote
    place = remote.host or "this machine"
    if unsound := _UNSOUND.search(said):
        return GitError(f"{place} sent an object that Git's own check refuses ({unsound[1]}): {unsound[2]}.", said)
    if remote.is_ssh and "host key" in said.lower():
        return _host_key_fault(said, place, login)
    if _MISSING.search(said):
        return RemoteMissing(f"{place} has no repository {remote.path}, or does not show it to this key.", said)
    if _LOGIN.search(said):
        return LoginRefused(
            f"{place} does not accept {_who(remote, login)} for {remote.path}: {_last_line(said)}", said
        )
    if remote.host and _AWAY.search(said):
        return Unreachable(f"{place} cannot be reached: {_telling_line(said)}", said)
    return None


def _who(remote: Remote, login: Login) -> str:
    if remote.is_ssh:
        return "the SSH key" if login.private_key else "a log-in without an SSH key"
    return "the user and token" if login.token else "a log-in without a token"


def _host_key_fault(said: str, place: str, login: Login) -> HostKeyRefused:
    offered = re.search(r"SHA256:[A-Za-z0-9+/]+", said)
    pinned = ", ".join(f"{key.kind} {key.fingerprint}" for key in login.pinned)
    if offered and "CHANGED" in said:
        return HostKeyRefused(
            f"The host key of {place} has changed. Pinned: {pinned}. Offered: {offered[0]}. "
            "If the server's administrator confirms the new fingerprint, scan the host key again and confirm it.",
            said,
            offered[0],
        )
    return HostKeyRefused(
        f"{place} does not offer the pinned host key ({pinned}). Scan the host key and compare the fingerprint.", said
    )


_NOISE = re.compile(r"(?i)^(fatal: could not read from remote|please make sure|and the repository exists|@+|\s*$)")


def _last_line(said: str) -> str:
    lines = [line for line in said.splitlines() if not _NOISE.match(line)]
    return _plain(lines[-1]) if lines else (said.splitlines() or ["it said nothing"])[-1]


def _telling_line(said: str) -> str:
    return next((_plain(line) for line in said.splitlines() if _AWAY.search(line)), _last_line(said))


def _plain(line: str) -> str:
    """One line as a sentence: without Git's own prefixes and without the answering program's path."""
    return re.sub(r"\A(remote: )?(fatal|error|ERROR): ", "", line.strip())[:400].rstrip(".") + "."
