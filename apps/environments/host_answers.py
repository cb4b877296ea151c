"""What a look at a host asks it, and what the answers mean. Pure.

The script prints `name<TAB>value` lines; a value that would need more than one line is cut to its first.
"""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

from apps.environments.host_report import Check, Result, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SKEW_LIMIT = 30  # seconds: from here on times in logs and release files mislead
FREE_LEAST, FREE_LOW = 5, 10  # per cent of space or inodes: below, the next release may not fit; it gets tight
BYTES_LEAST = 100 * 1024 * 1024

# $1 … are folders. For each the nearest that exists is found, and a file really made in it and removed.
SCRIPT = r"""
export LC_ALL=C
say() { printf '%s\t%s\n' "$1" "$2"; }
say now "$(date +%s)"
say user "$(id -un 2>/dev/null || id -u)"
say rsync "$(rsync --version 2>/dev/null | head -n 1)"
for python in python3 python; do
  if command -v "$python" >/dev/null 2>&1; then say python "$("$python" --version 2>&1 | head -n 1)"; break; fi
done
number=0
for folder in "$@"; do
  near=$folder
  while [ ! -e "$near" ] && [ "$near" != / ] && [ "$near" != . ]; do near=$(dirname "$near"); done
  say "$number.near" "$near"
  [ -d "$near" ] || say "$number.kind" "file"
  [ -L "$folder" ] && say "$number.kind" "link"
  [ -e "$folder" ] && say "$number.exists" yes
  probe=$(mktemp -d "$near/.deploypanel-check.XXXXXX" 2>&1)
  if [ -d "$probe" ]; then rmdir "$probe"; say "$number.writable" yes; else say "$number.refused" "${probe##*: }"; fi
  say "$number.space" "$(df -Pk "$near" 2>/dev/null | tail -n 1 | awk '{print $(NF-4), $(NF-2), $NF}')"
  say "$number.inodes" "$(df -Pi "$near" 2>/dev/null | tail -n 1 | awk '{print $(NF-4), $(NF-2), $NF}')"
  number=$((number + 1))
done
say end yes
"""


def folders_of(targets: Iterable[Target]) -> list[str]:
    """The arguments of SCRIPT."""
    return [folder for target in targets for folder in target.folders]


def answers(output: str) -> dict[str, str]:
    """What the script said. Without `end` it was cut off."""
    pairs = (line.split("\t", 1) for line in output.splitlines() if "\t" in line)
    return {name: value.strip() for name, value in pairs}


def judge(said: Mapping[str, str], *, user: str, targets: Iterable[Target], now: float) -> list[Check]:
    """The checks behind a log-in. `now` is the panel's own clock when the host said its time."""
    checks = [rsync_check(said), *folder_checks(said, user=user, targets=targets)]
    return [*checks, python_check(said), clock_check(said, now)]


def rsync_check(said: Mapping[str, str]) -> Check:
    version = said.get("rsync", "")
    if version:
        return Check(name="rsync", result=Result.OK, detail=" ".join(version.split()))
    return Check(
        name="rsync",
        result=Result.FAILED,
        detail="The program rsync is not installed on the host.",
        remedy="Install it there: apt-get install rsync, or dnf install rsync.",
    )


def python_check(said: Mapping[str, str]) -> Check:
    version = said.get("python", "")
    if version:
        return Check(name="Python", result=Result.OK, detail=version)
    return Check(
        name="Python",
        result=Result.WARNING,
        detail="There is no Python on the host.",
        remedy="The panel does not need it; install it where deploy scripts do.",
    )


def clock_check(said: Mapping[str, str], now: float) -> Check:
    try:
        skew = float(said["now"]) - now
    except (KeyError, ValueError):
        return Check(name="clock", result=Result.WARNING, detail="The host did not say what time it has.")
    if abs(skew) <= SKEW_LIMIT:
        return Check(name="clock", result=Result.OK, detail=f"Within {max(1, math.ceil(abs(skew)))} s of the panel's.")
    return Check(
        name="clock",
        result=Result.WARNING,
        detail=f"The host's clock is {duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the panel's.",
        remedy="Synchronise it (timedatectl set-ntp true): release times and logs mislead otherwise.",
    )


def folder_checks(said: Mapping[str, str], *, user: str, targets: Iterable[Target]) -> list[Check]:
    """For each target whether it can be written; for each file system below them what is free."""
    checks: list[Check] = []
    number = 0
    mounts: dict[str, list[Check]] = {}
    for target in targets:
        numbers = range(number, number + len(target.folders))
        number += len(target.folders)
        checks.append(target_check(said, user=user, target=target, numbers=numbers))
        for index in numbers:
            mount, free = _free(said, index)
            mounts.setdefault(mount, free)
    return [*checks, *(check for free in mounts.values() for check in free)]


def target_check(said: Mapping[str, str], *, user: str, target: Target, numbers: range) -> Check:
    """Whether the target, and what is needed around it, can be written by the user who logs in."""
    if target.symlink and said.get(f"{numbers[0]}.exists") and said.get(f"{numbers[0]}.kind") != "link":
        return Check(
            name="target",
            result=Result.FAILED,
            detail=f"{target.path} is a folder of its own, but this environment switches a symlink there.",
            remedy=f"Move it away once (mv {_quoted(target.path)} {_quoted(target.path + '.old')}), "
            "or use the method “in place”.",
            environment=target.environment,
        )
    # The link itself is replaced and never written into: what is asked is the folder around it.
    asked = list(zip(numbers, target.folders, strict=True))[1 if target.symlink else 0 :]
    for index, folder in asked:
        if said.get(f"{index}.writable") != "yes":
            return _unwritable(said, index, folder, user, target)
    new = "" if said.get(f"{numbers[0]}.exists") else " (the first deployment makes it)"
    return Check(
        name="target",
        result=Result.OK,
        detail=f"{target.path} can be written by {user}{new}.",
        environment=target.environment,
    )


def _unwritable(said: Mapping[str, str], index: int, folder: str, user: str, target: Target) -> Check:
    near = said.get(f"{index}.near", folder)
    why = said.get(f"{index}.refused", "it did not say why")
    if said.get(f"{index}.kind") == "file":
        detail = f"{near} is a file, not a folder."
        remedy = "Move it away, or correct the environment's path."
    elif near == folder:
        detail = f"{user} cannot write into {folder}: {why}."
        remedy = f"On the host, as root: chown {_quoted(user)} {_quoted(folder)}"
    else:
        detail = f"{folder} does not exist, and {user} cannot make it in {near}: {why}."
        remedy = f"On the host, as root: install -d -o {_quoted(user)} {_quoted(folder)}"
    if said.get(f"{index}.kind") != "file" and (user == "root" or "ermission" not in why):
        # Another owner would not help: the file system itself refuses.
        remedy = f"Look at the file system of {near}: is it read-only, full, or not meant for files?"
    return Check(name="target", result=Result.FAILED, detail=detail, remedy=remedy, environment=target.environment)


def _free(said: Mapping[str, str], index: int) -> tuple[str, list[Check]]:
    """The mount point below a folder, and the checks of its space and inodes."""
    total, free, mount = _numbers(said.get(f"{index}.space", ""))
    checks = [_share("free space", f"{size(free * 1024)} free of {size(total * 1024)} on {mount}", free, total, "KiB")]
    total_inodes, free_inodes, _ = _numbers(said.get(f"{index}.inodes", ""))
    if total_inodes:  # some file systems have no fixed number
        text = f"{free_inodes:,} free of {total_inodes:,} on {mount}"
        checks.append(_share("free inodes", text, free_inodes, total_inodes, ""))
    if not total:
        detail = f"{mount} tells no sizes." if mount else "The host did not say."
        return mount, [Check(name="free space", result=Result.WARNING, detail=detail)]
    return mount, checks


def _share(name: str, text: str, free: int, total: int, unit: str) -> Check:
    percent = 100 * free / total if total else 0
    few = bool(unit) and free * 1024 < BYTES_LEAST
    if percent >= FREE_LOW and not few:
        return Check(name=name, result=Result.OK, detail=f"{text} ({percent:.0f} %).")
    return Check(
        name=name,
        result=Result.FAILED if percent < FREE_LEAST or few else Result.WARNING,
        detail=f"{text} ({percent:.1f} %).",
        remedy="Make room on the host, or keep fewer releases.",
    )


def _numbers(text: str) -> tuple[int, int, str]:
    """`TOTAL FREE MOUNT` as df has them; zeros where it said something else."""
    words = text.split(maxsplit=2)
    if len(words) == 3 and words[0].isdigit() and words[1].isdigit():  # total, free, mount point
        return int(words[0]), int(words[1]), words[2]
    return 0, 0, ""


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit in {"bytes", "KiB"} or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h`, `2 days`."""
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def _quoted(text: str) -> str:
    """For a person to paste, so that a path with blanks is one word."""
    return shlex.quote(text)
