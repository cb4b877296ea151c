"""One download at a time for each address, over all processes and panels.

A download works in a thread of the process that was asked first, under a claim on the row that the process renews. When
that process is killed its claim grows old (or is known to be dead, on the same machine), and the next who asks, or
still waits, takes over. What a claimant brings after it has lost its claim is thrown away.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import connections
from django.db.models import F
from django.utils import timezone

from apps.access.errors import PanelError
from apps.files import claims, fetcher, s3, storage
from apps.files.address import Address, address_read
from apps.files.errors import FileError, FileNotStored
from apps.files.guard import Guard
from apps.files.intake import Got, Wish
from apps.files.models import CachedFile
from apps.files.patience import Watch
from apps.files.selectors import cache_settings
from apps.files.services.evict import files_evict
from apps.files.services.outcome import attempt_failed, attempt_kept, attempt_unchanged

if TYPE_CHECKING:
    from pathlib import Path

    from apps.files.models import CacheSettings

logger = logging.getLogger(__name__)
PLACES = 8  # downloads at once in one process; who finds none free asks again


@dataclass
class _Work:
    """One download of this process."""

    row: CachedFile
    address: Address
    cache: bool
    claim: str
    watch: Watch = field(default_factory=lambda: Watch(1))


class _Crew:
    """The downloads of this process, and the thread that shows that they live."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_work: dict[str, _Work] = {}
        self._beating = False

    def begin(self, work: _Work) -> bool:
        with self._lock:
            if len(self._at_work) >= PLACES:
                return False
            self._at_work[work.claim] = work
            beat, self._beating = not self._beating, True
        if beat:
            threading.Thread(target=self._beat, name="files-beat", daemon=True).start()
        return True

    def end(self, claim: str) -> None:
        with self._lock:
            self._at_work.pop(claim, None)

    def at_work(self) -> int:
        """How many downloads have not ended, with all that follows them."""
        return len(self._at_work)

    def is_idle(self) -> bool:
        return not self._at_work and not self._beating

    def _beat(self) -> None:
        """While there is work: renew the claims, and end the downloads whose claim somebody else has taken."""
        pause = threading.Event()
        try:
            while not self._rests():
                for work in list(self._at_work.values()):
                    _renewed(work)
                connections.close_all()
                for _ in range(int(claims.BEAT / 0.1)):
                    if not self._at_work or pause.wait(0.1):
                        break
        finally:
            connections.close_all()

    def _rests(self) -> bool:
        with self._lock:
            self._beating = bool(self._at_work)
            return not self._beating


crew = _Crew()


def file_download_start(*, row: CachedFile, url: str, cache: bool) -> bool:
    """Claim the row as it was read, and begin; False when another was quicker or this process has no place free."""
    work = _Work(row, address_read(url), cache, claims.claim_new())
    if not crew.begin(work):
        return False
    now = timezone.now()
    try:
        claimed = CachedFile.objects.filter(pk=row.pk, attempt=row.attempt, claimed_by=row.claimed_by).update(
            attempt=F("attempt") + 1, began_at=now, claimed_by=work.claim, claimed_at=now
        )
        if claimed:
            threading.Thread(target=_carry_out, args=[work], name=f"files-{row.pk}", daemon=True).start()
    except BaseException:
        crew.end(work.claim)
        raise
    if not claimed:
        crew.end(work.claim)
    return bool(claimed)


def _renewed(work: _Work) -> None:
    try:
        kept = CachedFile.objects.filter(claimed_by=work.claim).update(claimed_at=timezone.now())
    except Exception:  # the database is away: the claim grows old, and somebody else takes over
        logger.exception("The claim of a download could not be renewed.")
        return
    if not kept:
        work.watch.cut()


def _carry_out(work: _Work) -> None:
    try:
        _download(work)
    except PanelError as error:
        fault = error.fault if isinstance(error, FileError) else FileError.fault
        attempt_failed(row=work.row, claim=work.claim, fault=fault, sentence=str(error))
    except Exception:
        logger.exception("A download failed.")
        sentence = "The panel failed; its log says why."
        attempt_failed(row=work.row, claim=work.claim, fault=FileError.fault, sentence=sentence)
    finally:
        crew.end(work.claim)
        connections.close_all()


def _download(work: _Work) -> None:
    settings = cache_settings()
    part = _part(work)
    try:
        got = _fetched(work, settings, part)
        if got.unchanged or (got.sha256 == work.row.sha256 and storage.is_there(work.row.stored_as)):
            attempt_unchanged(row=work.row, claim=work.claim, got=got)
            return
        stored_as = storage.keep(part, got.sha256, settings)
        attempt_kept(row=work.row, claim=work.claim, got=got, stored_as=stored_as, settings=settings)
    finally:
        part.unlink(missing_ok=True)
    files_evict(settings=settings, but=work.row.pk)


def _part(work: _Work) -> Path:
    try:
        folder = storage.incoming()
        if work.row.claimed_by:  # whoever began it before has died
            (folder / work.row.claimed_by).unlink(missing_ok=True)
        return folder / work.claim
    except OSError as error:
        raise FileNotStored(f"The data folder cannot be written: {error.strerror}.") from None


def _fetched(work: _Work, settings: CacheSettings, part: Path) -> Got:
    """Into `part`, synced to the disk. Raises FileError and its kinds."""
    knows = work.cache and storage.is_there(work.row.stored_as)
    wish = Wish(
        address=work.address,
        limit=min(settings.file_limit, settings.total_limit),
        etag=work.row.etag if knows else "",
        last_modified=work.row.last_modified if knows else "",
    )
    work.watch = Watch(settings.time_limit)
    try:
        with part.open("wb") as file, work.watch.running() as watch:
            if work.address.is_s3:
                got = s3.download(wish, s3.Login.of(settings), watch, file)
            else:
                got = fetcher.download(wish, Guard.of(settings), watch, file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FileNotStored(f"It could not be stored: {error.strerror}.") from None
    return got
