"""Files that the panel fetches for this machine: under a temporary name, checked, then renamed into place."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from typing import TYPE_CHECKING, Any

from deploypanel_agent.disk import sync_folder
from deploypanel_agent.errors import AgentError, LineLost, PanelRefused
from deploypanel_agent.web import BROKEN, Web

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from deploypanel_agent.build_script import Download
    from deploypanel_agent.limits import Limits

PIECE = 256 * 1024
ATTEMPTS = 2  # one more than once, as clients of Prostagma do
UMASK = os.umask(0o022)  # asked for by setting it, once, before there are threads
os.umask(UMASK)
LONGEST_WAIT = 10.0  # seconds between two questions whether the panel has the file


class WrongSum(AgentError):
    """What came is not what the script or the panel says it is."""


class PanelFiles:
    """Downloads by an enrolled agent."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def fetch(self, step: Download, dest: Path, limits: Limits) -> str:
        return tried(lambda: self._fetch(step, dest, limits), limits)

    def _fetch(self, step: Download, dest: Path, limits: Limits) -> str:
        told = self._asked(step, limits)
        digest = str(told.get("sha256") or "")
        if step.sha256 and digest != step.sha256:
            raise WrongSum(f"{step.url}: the panel got a file with SHA-256 {digest}, the script asks for {step.sha256}")

        def open_from(offset: int) -> Any:
            headers = {"Range": f"bytes={offset}-"} if offset else {}
            return self._web.open(f"/agent/files/{digest}", headers=headers)

        return placed(dest, open_from, limits, sha256=digest)

    def _asked(self, step: Download, limits: Limits) -> dict[str, Any]:
        """Until the panel has the file."""
        while True:
            limits.check()
            answer = self._web.ask("/agent/files", {"url": step.url, "cache": step.cache, "sha256": step.sha256})
            told = answer.data if isinstance(answer.data, dict) else {}
            if answer.status != 202:
                return told
            limits.heard()  # the panel is at work on it, and has its own limits
            limits.pause(min(LONGEST_WAIT, max(0.05, _number(told.get("wait"), 1.0))))


class OldFiles:
    """Downloads by the old protocol, from any Prostagma server."""

    def __init__(self, web: Web, secret: str) -> None:
        self._web = web
        self._secret = secret

    def fetch(self, step: Download, dest: Path, limits: Limits) -> str:
        route = "/cache" if step.kind == "download" else "/cache/s3"
        body = {"secret": self._secret, "url": step.url}
        asked = step.cache  # with `cache` the server is asked to download only when it has nothing

        def once() -> str:
            nonlocal asked
            if not asked:
                self._web.ask(route, body, timeout=600)
            asked = False
            return placed(dest, lambda _: self._web.open(route, body), limits, sha256=step.sha256)

        return tried(once, limits)


def tried(once: Callable[[], str], limits: Limits) -> str:
    """Once more when it fails; a wrong sum or a plain no is not tried again by the second attempt's luck."""
    for attempt in range(ATTEMPTS):
        try:
            return once()
        except (LineLost, PanelRefused, WrongSum):
            if attempt + 1 == ATTEMPTS:
                raise
            limits.pause(0.5)
    raise AssertionError("there is always a last attempt")


def placed(dest: Path, open_from: Callable[[int], Any], limits: Limits, *, sha256: str = "") -> str:
    """Read the stream into a temporary file beside `dest`, check it, rename it; a sentence on what came."""
    if not dest.parent.is_dir():
        raise AgentError(f"The folder of “dest”, {dest.parent}, does not exist")
    if dest.is_dir():
        raise AgentError(f"“dest”, {dest}, is a folder; name the file in it")
    part = dest.with_name(f".{dest.name[:100]}.deploypanel-part")
    with part.open("ab") as target:
        _claim(target, dest)
        try:
            os.fchmod(target.fileno(), _mode(dest))
            size, digest = _copied(open_from, target, limits)
            target.flush()
            os.fsync(target.fileno())
            if sha256 and digest != sha256:
                raise WrongSum(f"What came has the SHA-256 {digest}, not {sha256}")
            part.replace(dest)
            sync_folder(dest.parent)
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
    return f"{size:,} bytes, SHA-256 {digest}"


def _claim(target: Any, dest: Path) -> None:
    """Two downloads to one place would write into one another. What a crash left of an earlier one is dropped."""
    try:
        fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise AgentError(f"Another download to {dest} is under way") from None
    target.truncate(0)


def _copied(open_from: Callable[[int], Any], target: Any, limits: Limits) -> tuple[int, str]:
    """One pass; a stream that breaks off is taken up where it broke, once."""
    digest, size = hashlib.sha256(), 0
    for attempt in range(ATTEMPTS):
        with open_from(size) as stream:
            if size and stream.status != 206:  # from the top again
                digest, size = hashlib.sha256(), 0
                target.seek(0)
                target.truncate()
            whole = _length(stream, size)
            try:
                while True:
                    limits.check()
                    data = stream.read(PIECE)
                    if not data:
                        break
                    target.write(data)
                    digest.update(data)
                    size += len(data)
                    limits.heard()
            except BROKEN as error:
                if attempt + 1 == ATTEMPTS:
                    raise LineLost(f"The download broke off after {size:,} bytes: {error}") from None
                continue
        if whole is None or size >= whole:
            return size, digest.hexdigest()
    raise LineLost(f"The download broke off after {size:,} of {whole:,} bytes")


def _length(stream: Any, already: int) -> int | None:
    told = str(stream.headers.get("Content-Length") or "")
    return already + int(told) if told.isdecimal() else None


def _mode(dest: Path) -> int:
    """A file that is replaced keeps its permissions."""
    try:
        return stat.S_IMODE(dest.stat().st_mode)
    except OSError:
        return 0o666 & ~UMASK


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise
