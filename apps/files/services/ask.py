"""Somebody wants a file: answer from what is kept, or have it downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apps.files.models import CachedFile

WAIT = 1.0  # seconds after which it is worth asking again
FETCH_TIMEOUT = 1800.0  # seconds


def file_ask(*, url: str, cache: bool, by: str = "", sha256: str = "") -> CachedFile | None:
    """The file of that address, or None while it is downloaded: ask again, with the same arguments, after WAIT.

    With `cache`, what is kept is good when the origin says that it has not changed, or says nothing; without, it
    is downloaded anew. `by` names who asks, and comes again. What is kept with the checksum `sha256` is good at once.
    Takes a few milliseconds. Raises FileRefused, FileMissing, FileError (`.status` is HTTP's).
    """
    raise NotImplementedError


async def file_fetch(url: str, *, cache: bool, by: str = "", timeout: float = FETCH_TIMEOUT) -> CachedFile:
    """The same, and waits for it, `timeout` seconds at most."""
    raise NotImplementedError


def file_kept(url: str) -> CachedFile | None:
    """What is kept of that address, without a question to its origin; None: nothing."""
    raise NotImplementedError


def file_by_sha256(sha256: str) -> CachedFile | None:
    """A kept file with that checksum."""
    raise NotImplementedError
