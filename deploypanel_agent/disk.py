"""Writing so that it outlasts a power cut: file synced, renamed, folder synced."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

PAGE = 4096  # bytes: disk is given back in whole pages


def sync_folder(folder: Path) -> None:
    """Names made or renamed in this folder are on the disk afterwards."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_synced(path: Path, data: bytes, *, mode: int = 0o600, folder: bool = True) -> None:
    """The file holds either what it held before or all of `data`, whatever happens. `folder` False: its name may go."""
    fresh = path.with_name(f".{path.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
    if folder:
        sync_folder(path.parent)


def write_json(path: Path, data: Any, *, folder: bool = True) -> None:
    write_synced(path, json.dumps(data, separators=(",", ":")).encode(), folder=folder)


def read_json(path: Path) -> Any:
    """What the file holds; None when there is none or it was torn by a power cut."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def give_room(handle: int, until: int) -> None:
    """Free the disk below the first `until` bytes of a file that another process goes on writing to, where possible.

    The file keeps its length; what was there reads as NUL. Linux only, and only some file systems.
    """
    until -= until % PAGE
    if until <= 0:
        return
    with contextlib.suppress(OSError, AttributeError):
        _punch(handle, until)


def _punch(handle: int, until: int) -> None:
    import ctypes

    keep_size_and_punch_hole = 0x03
    library = ctypes.CDLL(None, use_errno=True)
    library.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    library.fallocate(handle, keep_size_and_punch_hole, 0, until)
