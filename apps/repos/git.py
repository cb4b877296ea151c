"""The door to Git: argument lists, a clean environment, no prompts, no hooks, none of the operator's settings.

Everything that Git or a repository could turn into a program of its own choosing is off: hooks, `ext::`
helpers, file system monitors, external diffs. Names of refs are passed as full names (`refs/heads/…`) and
paths behind `--`, so that none is taken for an option.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from apps.repos.errors import (
    GitError,
    HostKeyRefused,
    LoginRefused,
    MirrorDamaged,
    NotMirrored,
    RemoteMissing,
    Unreachable,
)
from apps.runs import process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from apps.repos.credentials import Login

READ_TIMEOUT = 60  # seconds for a command that reads the mirror
READ_LIMIT = 64 * 1024 * 1024  # bytes of output taken from one

CONFIG = """\
[protocol]
\tallow = never
[protocol "file"]
\tallow = always
[protocol "ssh"]
\tallow = always
[protocol "https"]
\tallow = always
[core]
\thooksPath = /dev/null
\tfsmonitor = false
\taskPass =
\tattributesFile = /dev/null
\texcludesFile = /dev/null
\tquotePath = false
\tpager = cat
[safe]
\tdirectory = *
\tbareRepository = all
[init]
\tdefaultBranch = main
[gc]
\tautoDetach = false
\tpruneExpire = never
\treflogExpire = never
[maintenance]
\tautoDetach = false
[fetch]
\tfsckObjects = true
\twriteCommitGraph = true
\trecurseSubmodules = false
[fetch "fsck"]
\tbadTimezone = ignore
\tzeroPaddedFilemode = ignore
\tmissingSpaceBeforeDate = ignore
\tmissingEmail = ignore
\tbadEmail = ignore
[submodule]
\trecurse = false
[tar]
\tumask = 0022
[i18n]
\tlogOutputEncoding = UTF-8
[diff]
\trenameLimit = 2000
[log]
\tshowSignature = false
[credential]
\tinteractive = false
[advice]
\tdetachedHead = false
"""

# Of the panel's own environment only this reaches Git: where programs are, proxies and certificate stores.
PASSED = (
    "PATH", "TMPDIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "all_proxy", "ALL_PROXY",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Commit:
    """`at` is when it was committed (the committer's date). All text is safe to show and to store."""

    sha: str
    author: str
    email: str
    at: datetime
    subject: str

    @property
    def short(self) -> str:
        return self.sha[:8]


@dataclass(frozen=True, kw_only=True)
class Ref:
    """A branch or a tag, and the commit that it leads to."""

    name: str
    sha: str
    kind: str  # branch or tag
    commit: Commit


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """One file of a comparison. `added` and `deleted` count lines; both are None for a binary file."""

    status: str  # A added, M modified, D deleted, R renamed, C copied, T of another type
    path: str
    old_path: str = ""
    added: int | None = None
    deleted: int | None = None


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a Git process."""
    home = _home()
    passed = {name: os.environ[name] for name in PASSED if os.environ.get(name)}
    return {
        **passed,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PAGER": "cat",
        # A connection that moves less than 1 KiB/s for a minute is dead.
        "GIT_HTTP_LOW_SPEED_LIMIT": "1024",
        "GIT_HTTP_LOW_SPEED_TIME": "60",
        **(extra or {}),
    }


def _home() -> Path:
    """An own home with nothing in it but our settings.

    A file and not `-c`: the programs that Git starts for a `file://` repository read it too.
    """
    home = Path(settings.MIRROR_DIR) / "home"
    config = home / "gitconfig"
    try:
        if config.read_text(encoding="utf-8") == CONFIG:
            return home
    except OSError:
        home.mkdir(parents=True, exist_ok=True)
    fresh = home / f"gitconfig.{os.getpid()}"
    fresh.write_text(CONFIG, encoding="utf-8")
    fresh.replace(config)
    return home


def command(mirror: Path | None, *arguments: str) -> list[str]:
    return ["git", *([f"--git-dir={mirror}"] if mirror else []), *arguments]


def call(
    mirror: Path | None,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    timeout: float = READ_TIMEOUT,
    stdin: bytes = b"",
    login: Login | None = None,
    cwd: Path | None = None,
) -> bytes:
    """What Git prints; raises GitError of the fitting kind when it fails."""
    done = process.run(
        command(mirror, *arguments),
        env=environment(env),
        timeout=timeout,
        stdin=stdin,
        cwd=cwd,
        limit_bytes=READ_LIMIT,
    )
    if done.status != 0:
        raise fault(done.err, done.status, login)
    return done.out


def read(mirror: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """`call` on a mirror that must be there; raises NotMirrored when it is not."""
    if not (mirror / "HEAD").exists():
        raise NotMirrored("This repository was not fetched yet. Press “Fetch now”.")
    return call(mirror, *arguments, stdin=stdin)


def text_of(raw: bytes) -> str:
    """Bytes of a name or message as text that can be shown, stored and sent: odd bytes become `\\xe9`."""
    return raw.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


_DAMAGE = re.compile(
    r"(?i)is corrupt|corrupt(ed)? |missing (blob|tree|commit|object|necessary)|bad object|unable to read|"
    r"object file .* is empty|could not parse|inflate:|packfile .* (cannot|is far too)|bad tree object|"
    r"not a git repository|index file .* is too small|wrong index|bad pack|did not send all necessary|"
    r"unable to parse|invalid sha1 pointer|missing object|bad config line|loose object .* not|non-blob|cannot read '?[0-9a-f]{40}"
)
_MISSING = re.compile(
    r"(?i)repository .*not found|does not appear to be a git repository|project you were looking for could not be"
    r"|no such file or directory|does not exist|error: 404|repository not exported|not found: did you run"
)
_LOGIN = re.compile(
    r"(?i)permission denied \(|authentication failed|invalid username or|could not read (username|password)|"
    r"error: 40[13]|too many authentication failures|access denied|load key .*(libcrypto|invalid format)|"
    r"access rights"
)
_AWAY = re.compile(
    r"(?i)could not resolve host|connection refused|timed out|timeout|no route to host|network is unreachable|"
    r"failed to connect|connection (closed|reset)|couldn't connect|temporary failure in name|early eof|"
    r"unexpected disconnect|the remote end hung up|operation too slow|ssl|certificate|broken pipe|not responding"
)

_UNSOUND = re.compile(r"(?m)^(?:remote: )?error: object [0-9a-f]{40,64}: (\w+): (.*)$")


def fault(err: bytes, status: int, login: Login | None = None) -> GitError:
    """The error that Git's words mean."""
    said = text_of(err).strip()
    remote = login.remote if login else None
    if remote is None:
        if _DAMAGE.search(said):
            return MirrorDamaged(f"The mirror is damaged: {_last_line(said)}", said)
        return GitError(f"Git failed (exit status {status}): {_last_line(said)}", said)
    place = remote.host or "this machine"
    if unsound := _UNSOUND.search(said):
        return GitError(f"{place} sent an object that Git's own check refuses ({unsound[1]}): {unsound[2]}.", said)
    if remote.is_ssh and "host key" in said.lower():
        return _host_key_fault(said, place, login)
    if _MISSING.search(said):
        return RemoteMissing(f"{place} has no repository {remote.path}, or does not show it to this key.", said)
    if _LOGIN.search(said):
        what = "the SSH key" if remote.is_ssh else "the user and token" if login and login.token else "anyone unnamed"
        return LoginRefused(f"{place} does not accept {what} for {remote.path}: {_last_line(said)}", said)
    if _AWAY.search(said) and remote.host:
        return Unreachable(f"{place} cannot be reached: {_telling_line(said)}", said)
    if _DAMAGE.search(said):
        return MirrorDamaged(f"The mirror is damaged: {_last_line(said)}", said)
    return GitError(f"Git failed (exit status {status}): {_last_line(said)}", said)


def _host_key_fault(said: str, place: str, login: Login | None) -> HostKeyRefused:
    offered = re.search(r"SHA256:[A-Za-z0-9+/]+", said)
    pinned = ", ".join(f"{key.kind} {key.fingerprint}" for key in (login.pinned if login else []))
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
