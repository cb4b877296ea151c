"""What can go wrong with files for others. `status` is what HTTP says of it.

FileError                 the file could not be had: its origin failed, or was too slow
├── FileRefused           that address may not be asked
├── FileMissing           its origin says that there is no such file
├── FileTooLarge          it is larger than what is kept
└── FileNotStored         it came, and could not be kept
"""

from __future__ import annotations

from typing import ClassVar

from apps.access.errors import PanelError


class FileError(PanelError):
    status: ClassVar[int] = 502
    fault: ClassVar[str] = "failed"


class FileRefused(FileError):
    status = 403
    fault = "refused"


class FileMissing(FileError):
    status = 404
    fault = "missing"


class FileTooLarge(FileError):
    status = 413
    fault = "too_large"


class FileNotStored(FileError):
    status = 507
    fault = "not_stored"


def error_of(fault: str, sentence: str) -> FileError:
    """The error that a stored failure was."""
    kinds = (FileRefused, FileMissing, FileTooLarge, FileNotStored)
    return next((kind for kind in kinds if kind.fault == fault), FileError)(sentence)
