"""Files that a build script downloads: fetched by the panel once for all hosts of the run, under its own rules."""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

from django.db import connection

from apps.environments.pipeline.fleet import StepFailed
from apps.files.errors import FileError
from apps.files.selectors import cache_settings
from apps.files.services import WAIT, file_ask
from apps.files.services.use import file_used
from apps.files.storage import kept_open

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apps.environments.build_script import Download
    from apps.files.models import CachedFile
    from apps.files.storage import Kept
    from apps.runs.work import Work


class Files:
    """The downloads of one run. Thread-safe; threads that ask the database here leave no connection behind."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._asking = threading.Lock()
        self._found: dict[tuple[str, str], CachedFile] = {}

    def wanted(self, step: Download) -> CachedFile:
        """The file that the step names, as the first host that asked got it. Raises StepFailed, and what ends runs."""
        key = (step.url, step.sha256)
        while not self._asking.acquire(timeout=WAIT):
            self._work.check()
        try:
            found = self._found.get(key) or self._fetched(step)
            if step.sha256 and found.sha256 != step.sha256:
                raise StepFailed(f"{step.url} has the SHA-256 {found.sha256}, not the one that the script names.")
            self._found[key] = found
        except FileError as error:
            raise StepFailed(f"{step.url}: {error}") from None
        finally:
            self._asking.release()
            connection.close()
        return found

    def _fetched(self, step: Download) -> CachedFile:
        by = f"run {self._work.run.pk}"
        while (found := file_ask(url=step.url, cache=step.cache, by=by, sha256=step.sha256)) is None:
            self._work.stopping.wait(WAIT)
            self._work.check()
            self._alive()
        return found

    def pieces(self, found: CachedFile) -> Iterator[bytes]:
        """Its bytes, checked before the last of them. Raises StepFailed when they are not there, and what ends runs."""
        held, digest = b"", hashlib.sha256()
        try:
            with closing(self._open(found)) as kept:
                for piece in kept.pieces(0, found.size):
                    self._work.check()
                    self._alive()
                    digest.update(piece)
                    if held:
                        yield held
                    held = piece
        except FileError as error:
            raise StepFailed(f"{found.url}: {error}") from None
        if digest.hexdigest() != found.sha256:
            raise StepFailed(f"{found.url} is damaged in the file cache.", "Delete it there, and try again.")
        yield held

    def _open(self, found: CachedFile) -> Kept:
        try:
            file_used(row=found, size=found.size)
            return kept_open(found.stored_as, cache_settings())
        finally:
            connection.close()

    def _alive(self) -> None:
        """Something goes on, although it says nothing: the limit of silence is for what hangs."""
        self._work.log.last_output = time.monotonic()
