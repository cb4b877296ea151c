"""What a host has of one environment: its target, the release that is live, and all the others. Pure.

SCRIPT reads and writes nothing. Its answers come between marks with a word that the host could not
know before, so that a greeting of its shell or a strange release file cannot be mistaken for one.
"""

from __future__ import annotations

import enum
import posixpath
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from apps.environments.release import FILE, Found, Release, parsed

# $1 mark, $2 target path, $3 folder of the releases (empty in place)
SCRIPT = (
    r"""
mark=$1 target=$2 releases=$3
say() { printf '%s\t%s\t%s\n' "$mark" "$1" "$2"; }
file() {
  if [ -f "$1/"""
    + FILE
    + r"""" ]; then
    say "$2" "$1"; head -c 4096 "$1/"""
    + FILE
    + r""""; printf '\n'
  else
    say "$2" "$1"
  fi
}
if command -v rsync >/dev/null 2>&1; then say rsync yes; fi
if [ -L "$target" ]; then say target link; say link "$(readlink "$target")"
elif [ -d "$target" ]; then say target folder
elif [ -e "$target" ]; then say target other
else say target absent; fi
file "$target" current
if [ -n "$releases" ]; then
  for folder in "$releases"/*/; do
    folder=${folder%/}
    if [ -d "$folder" ] && [ ! -L "$folder" ]; then file "$folder" release; fi
  done
  # Other targets may share the folder of the releases: what any link beside it points to is live.
  for link in "$(dirname "$target")"/* "$(dirname "$target")"/.*; do
    if [ -L "$link" ]; then say live "$(readlink "$link")"; fi
  done
fi
say end yes
"""
)


RELEASES_KEPT = 100  # of one host, in its row


class TargetKind(enum.StrEnum):
    ABSENT = "absent"
    LINK = "link"
    FOLDER = "folder"
    OTHER = "other"


@dataclass(kw_only=True)
class HostState:
    """One host's answer. `live` is the folder that the target leads to, empty when there is none."""

    rsync: bool = False
    target: TargetKind = TargetKind.ABSENT
    live: str = ""
    current: Release | None = None
    found: list[Found] = field(default_factory=list)

    @property
    def newest_first(self) -> list[Found]:
        return sorted(self.found, key=lambda one: one.order, reverse=True)

    def complete_of(self, commit: str) -> Found | None:
        """The newest complete release of that commit."""
        matching = (one for one in self.newest_first if one.complete and one.release and one.release.commit == commit)
        return next(matching, None)

    def as_fields(self) -> dict[str, Any]:
        """The answer in the fields of a HostRelease."""
        current = self.current
        return {
            "branch": current.branch[:255] if current else "",
            "commit": current.commit if current else "",
            "deployed_at": current.at if current else None,
            "in_progress": current.in_progress if current else False,
            "release": (self.live or (current.folder if current else ""))[:500],
            "releases": [_as_json(one) for one in self.newest_first[:RELEASES_KEPT] if one.release is not None],
        }


def _as_json(found: Found) -> dict[str, Any]:
    release = found.release
    assert release is not None
    return {
        "folder": found.folder,
        "branch": release.branch,
        "commit": release.commit,
        "deployed_at": release.at.isoformat() if release.at else None,
        "in_progress": release.in_progress,
        "live": found.live,
    }


def new_mark() -> str:
    return f"deploypanel-{token_hex(8)}"


def answer(out: str, mark: str, target_path: str) -> HostState | None:
    """What the script printed; None when it was cut off."""
    state = HostState()
    links: set[str] = set()
    entries = _entries(out, mark)
    if not entries or entries[-1][0] != "end":
        return None
    for name, value, text in entries:
        if name == "live":
            links.add(_absolute(value, target_path))
        else:
            _take(state, name, value, text, target_path)
    links.add(state.live)
    state.found = [Found(folder=one.folder, release=one.release, live=one.folder in links) for one in state.found]
    return state


def _take(state: HostState, name: str, value: str, text: str, target_path: str) -> None:
    if name == "rsync":
        state.rsync = True
    elif name == "target":
        state.target = TargetKind(value)
    elif name == "link":
        state.live = _absolute(value, target_path)
    elif name == "current":
        state.current = parsed(text)
    elif name == "release":
        state.found.append(Found(folder=value, release=parsed(text)))


def _entries(out: str, mark: str) -> list[tuple[str, str, str]]:
    """(name, value, the lines that follow) for each mark."""
    entries = []
    for part in out.split(f"{mark}\t")[1:]:
        head, _, text = part.partition("\n")
        name, _, value = head.partition("\t")
        entries.append((name, value, text.removesuffix("\n")))
    return entries


def _absolute(link: str, target_path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(target_path.rstrip("/")), link)) if link else ""
