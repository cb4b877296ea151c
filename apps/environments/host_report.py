"""What a look at a host found, as data: checks with a result, and their remedies."""

from __future__ import annotations

import enum
import posixpath
from dataclasses import dataclass, field
from typing import Any


class Result(enum.StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"  # could not be asked, because something before it failed


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at. `environment` is the path of the one it matters to, empty for the host itself."""

    name: str
    result: Result
    detail: str
    remedy: str = ""
    environment: str = ""

    def as_json(self) -> dict[str, str]:
        return {
            "name": self.name,
            "result": str(self.result),
            "detail": self.detail,
            "remedy": self.remedy,
            "environment": self.environment,
        }


@dataclass(kw_only=True)
class HostReport:
    """Everything that one look at one host found."""

    host: str
    checks: list[Check] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not any(check.result is Result.FAILED for check in self.checks)

    def summary(self) -> str:
        """One sentence: what failed, or that all is well."""
        failed = [check.name for check in self.checks if check.result is Result.FAILED]
        warned = [check.name for check in self.checks if check.result is Result.WARNING]
        if failed:
            return f"Failed: {', '.join(dict.fromkeys(failed))}."
        return f"Ready, but look at: {', '.join(dict.fromkeys(warned))}." if warned else "Ready."

    def as_json(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "ok": self.ok,
            "summary": self.summary(),
            "seconds": round(self.seconds, 2),
            "checks": [check.as_json() for check in self.checks],
        }


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where one environment puts its files on a host: the folder itself, or releases beside a symlink."""

    environment: str
    path: str
    symlink: bool
    releases: str  # the folder that holds the releases; empty in place

    @property
    def folders(self) -> tuple[str, ...]:
        # A symlink is switched in the folder that holds it, so that one must be writable too.
        return (self.path, posixpath.dirname(self.path), self.releases) if self.symlink else (self.path,)
