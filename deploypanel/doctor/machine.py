"""This machine: programs, the data folder, the disk."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from apps.access.errors import PanelError
from apps.runs.process import PACKAGES, run
from deploypanel.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDED = ("git", "ssh", "ssh-agent", "ssh-add", "ssh-keygen", "ssh-keyscan", "rsync")
# The oldest that the panel is written for, and how each tells its version.
OLDEST = {"git": ((2, 20), ["git", "--version"]), "rsync": ((3, 1), ["rsync", "--version"])}
ENOUGH = 1024**3  # bytes
KEPT_PRIVATE = ("key_ring", "secret_key")


def programs() -> Iterator[Finding]:
    for name in NEEDED:
        if not shutil.which(name):
            yield Finding(about=name, text="is not installed", remedy=f"apt-get install {PACKAGES[name]}")
        elif name in OLDEST and (found := _too_old(name)):
            wanted = ".".join(str(part) for part in OLDEST[name][0])
            yield Finding(about=name, text=f"is version {found}; {wanted} is needed", remedy=f"upgrade {name}")


def data_folder() -> Iterator[Finding]:
    data = Path(settings.DATA_DIR)
    if not data.is_dir():
        yield Finding(about=str(data), text="is not there", remedy="start the panel: make run")
        return
    if not os.access(data, os.W_OK):
        yield Finding(about=str(data), text="cannot be written by you", remedy="run this as the panel's user")
    if _others_may(data, stat.S_IRWXO):
        yield Finding(about=str(data), text="is open to every user of this machine", remedy=f"chmod 700 {data}")
    for path in (data / name for name in KEPT_PRIVATE):
        if path.exists() and _others_may(path, stat.S_IRWXG | stat.S_IRWXO):
            yield Finding(about=str(path), text="can be read by other users", remedy=f"chmod 600 {path}")


def disk() -> Iterator[Finding]:
    folder = next(path for path in (Path(settings.DATA_DIR), *Path(settings.DATA_DIR).parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < ENOUGH:
        text = f"has {free // 1024**2} MB left"
        yield Finding(about=f"the disk of {folder}", text=text, remedy="make room; at least 1 GB should be free")


def _others_may(path: Path, bits: int) -> bool:
    return bool(path.stat().st_mode & bits)


def _too_old(name: str) -> str:
    oldest, argv = OLDEST[name]
    try:
        said = run(argv, timeout=10).out.decode(errors="replace")
    except PanelError:
        return "unknown (it does not answer)"
    match = re.search(r"(\d+)\.(\d+)", said)
    if match and (int(match[1]), int(match[2])) < oldest:
        return match[0]
    return ""
