"""The door to Git: argument lists, a clean environment, no prompts, no hooks, none of the operator's settings.

Everything that Git or a repository could turn into a program of its own choosing is off: hooks, `ext::`
helpers, file system monitors, external diffs. Names of refs are passed as full names (`refs/heads/…`) and
paths behind `--`, so that none is taken for an option.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from apps.repos.errors import NotMirrored
from apps.repos.faults import fault
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
[checkout]
\tworkers = 0
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
    fresh = home / f"gitconfig.{os.getpid()}.{threading.get_ident()}"
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
        raise fault(text_of(done.err), done.status, login)
    return done.out


def read(mirror: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """`call` on a mirror that must be there; raises NotMirrored when it is not."""
    if not (mirror / "HEAD").exists():
        raise NotMirrored("This repository was not fetched yet. Press “Fetch now”.")
    return call(mirror, *arguments, stdin=stdin)


def text_of(raw: bytes) -> str:
    """Bytes of a name or message as text that can be shown, stored and sent: odd bytes become `\\xe9`."""
    return raw.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
