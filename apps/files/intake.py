"""What is wished for, and how it comes in: measured and summed up piece by piece, never held whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from apps.files.errors import FileNotStored, FileTooLarge

if TYPE_CHECKING:
    from apps.files.address import Address

PIECE = 256 * 1024  # bytes


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to download, and what is known of it. `limit` in bytes."""

    address: Address
    limit: int
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, kw_only=True)
class Got:
    """What came. `unchanged`: nothing did, what is known is still so."""

    unchanged: bool = False
    size: int = 0
    sha256: str = ""
    content_type: str = ""
    etag: str = ""
    last_modified: str = ""


class Intake:
    """Where a file comes in: written, measured and summed up piece by piece."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self.size = 0
        self._file, self._limit, self._sum = file, limit, hashlib.sha256()

    def announced(self, length: int) -> None:
        """Raises FileTooLarge for a length that would be too much."""
        if length > self._limit:
            raise FileTooLarge(f"It is {length:,} bytes long, of which the file cache keeps {self._limit:,} at most.")

    def write(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self._limit:
            raise FileTooLarge(f"It is longer than the {self._limit:,} bytes that the file cache keeps at most.")
        self._sum.update(piece)
        try:
            self._file.write(piece)
        except OSError as error:
            raise FileNotStored(f"It could not be stored: {error.strerror}.") from None

    @property
    def sha256(self) -> str:
        return self._sum.hexdigest()
