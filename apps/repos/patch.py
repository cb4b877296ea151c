"""What differs within one file of a comparison, line by line, within bounds.

Git is asked for blobs by their numbers and never by path: what a file is called cannot be taken for an option or a
pattern, and no attribute that the repository sets can hide or convert what is shown.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.repos import git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE_LIMIT = 1024 * 1024  # bytes of either side; beyond, a file is named and not compared
LINES_LIMIT = 2000  # rows shown of one file
WIDTH_LIMIT = 2000  # characters shown of one line
BINARY_PROBE = 8000  # bytes in which a NUL makes a file binary: Git's own rule
CONTEXT = 3  # lines around each change

_HUNK = re.compile(r"\A@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_KINDS = {"+": "added", "-": "deleted", " ": "same", "\\": "note"}
_NONE, _LINK, _SUBMODULE = "000000", "120000", "160000"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One changed file as the trees have it. A mode of zeros: there is no file on that side."""

    status: str  # as FileChange.status
    path: str
    old_path: str
    old_mode: str
    new_mode: str
    old_blob: str
    new_blob: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a file (`added`, `deleted`, `same`), a `hunk`'s head, or a `note` of Git's. Numbers from 1."""

    kind: str
    text: str
    old: int | None = None
    new: int | None = None

    @property
    def sign(self) -> str:
        return {"added": "+", "deleted": "-", "same": " "}.get(self.kind, "")


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A file's difference. `rows` may be cut: `left_out` tells how many. Without rows, `notes` say why."""

    entry: Entry
    rows: list[Row]
    notes: list[str]
    left_out: int = 0
    added: int = 0
    deleted: int = 0


def entry_of(mirror: Path, old: str, new: str, path: str) -> Entry | None:
    """The changed file of that name, as `git.text_of` spells it, between two commits or trees; None when it is the
    same in both, or in neither."""
    raw = git.read(mirror, "diff-tree", "-r", "-z", "-M", "--raw", "--no-ext-diff", "--no-textconv", old, new, "--")
    return next((entry for entry in _entries(raw) if entry.path == path), None)


def _entries(raw: bytes) -> Iterator[Entry]:
    parts = iter(raw.split(b"\x00"))
    for head in parts:
        if not head.startswith(b":"):
            continue
        old_mode, new_mode, old_blob, new_blob, status = head[1:].decode("ascii").split(" ")
        first = git.text_of(next(parts))
        moved = status[:1] in {"R", "C"}
        yield Entry(
            status=status[:1],
            path=git.text_of(next(parts)) if moved else first,
            old_path=first if moved else "",
            old_mode=old_mode,
            new_mode=new_mode,
            old_blob=old_blob,
            new_blob=new_blob,
        )


def patch_of(mirror: Path, entry: Entry) -> Patch:
    """The lines that differ, or the reason why none are shown."""
    notes = list(_mode_notes(entry))
    if _SUBMODULE in {entry.old_mode, entry.new_mode}:
        return Patch(entry=entry, rows=[], notes=[*notes, _submodule_note(entry)])
    if entry.old_blob == entry.new_blob:
        return Patch(entry=entry, rows=[], notes=[*notes, "The contents are the same."])
    if reason := _too_large(mirror, entry):
        return Patch(entry=entry, rows=[], notes=[*notes, reason])
    lines = _lines(mirror, entry)
    if lines is None:
        return Patch(entry=entry, rows=[], notes=[*notes, "A binary file: its contents are not compared here."])
    if not lines:
        return Patch(entry=entry, rows=[], notes=[*notes, "An empty file."])
    return Patch(
        entry=entry,
        rows=list(_rows(lines[:LINES_LIMIT])),
        notes=notes,
        left_out=max(0, len(lines) - LINES_LIMIT),
        added=sum(line.startswith("+") for line in lines),
        deleted=sum(line.startswith("-") for line in lines),
    )


def _mode_notes(entry: Entry) -> Iterator[str]:
    if entry.old_path:
        yield f"{'Renamed' if entry.status == 'R' else 'Copied'} from {plain(entry.old_path)}."
    if _LINK in {entry.old_mode, entry.new_mode}:
        yield "A symbolic link: its text is where it leads to."
    if entry.old_mode != entry.new_mode and _NONE not in {entry.old_mode, entry.new_mode}:
        yield f"Mode {entry.old_mode} → {entry.new_mode}."


def _submodule_note(entry: Entry) -> str:
    old, new = (
        blob[:8] if mode == _SUBMODULE else "nothing" if mode == _NONE else "a file"
        for mode, blob in ((entry.old_mode, entry.old_blob), (entry.new_mode, entry.new_blob))
    )
    return f"A submodule: {old} → {new}. Submodules are not deployed."


def _too_large(mirror: Path, entry: Entry) -> str:
    """A sentence when a side is larger than what is compared."""
    asked = [blob for mode, blob in _sides(entry) if mode != _NONE]
    said = git.read(
        mirror, "cat-file", "--batch-check=%(objectsize)", stdin="".join(f"{blob}\n" for blob in asked).encode()
    )
    sizes = [int(size) for size in said.split(b"\n") if size.isdigit()]
    largest = max(sizes, default=0)
    if largest <= SIZE_LIMIT:
        return ""
    limit = SIZE_LIMIT // 1024 // 1024
    return f"The file has {largest / 1024 / 1024:.1f} MiB: files above {limit} MiB are not compared here."


def _sides(entry: Entry) -> tuple[tuple[str, str], tuple[str, str]]:
    return (entry.old_mode, entry.old_blob), (entry.new_mode, entry.new_blob)


def _lines(mirror: Path, entry: Entry) -> list[str] | None:
    """The lines of the unified diff, from its first hunk on; None for a binary file."""
    if _NONE in {entry.old_mode, entry.new_mode}:
        blob, sign = (entry.new_blob, "+") if entry.old_mode == _NONE else (entry.old_blob, "-")
        return _whole(git.read(mirror, "cat-file", "blob", blob), sign)
    options = ("--no-color", "--no-ext-diff", "--no-textconv", f"--unified={CONTEXT}")
    lines = _split(git.read(mirror, "diff", *options, entry.old_blob, entry.new_blob, "--"))
    first = next((number for number, line in enumerate(lines) if line.startswith("@@")), None)
    return None if first is None else lines[first:]


def _whole(content: bytes, sign: str) -> list[str] | None:
    """A file that came or went, in the form of a diff. Git has no blob to compare it with."""
    if b"\x00" in content[:BINARY_PROBE]:
        return None
    lines = _split(content)
    if not lines:
        return []
    span = f"-0,0 +1,{len(lines)}" if sign == "+" else f"-1,{len(lines)} +0,0"
    rest = [] if content.endswith(b"\n") else ["\\ No newline at end of file"]
    return [f"@@ {span} @@", *(sign + line for line in lines), *rest]


def _split(raw: bytes) -> list[str]:
    lines = git.text_of(raw).split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _rows(lines: list[str]) -> Iterator[Row]:
    old = new = 0
    for line in lines:
        if head := _HUNK.match(line):
            old, new = int(head[1]), int(head[2])
            yield Row(kind="hunk", text=plain(line[:WIDTH_LIMIT]))
            continue
        kind, text = _KINDS.get(line[:1], "note"), _cut(line[1:])
        if kind == "note":
            yield Row(kind=kind, text=text.strip())
            continue
        yield Row(kind=kind, text=text, old=None if kind == "added" else old, new=None if kind == "deleted" else new)
        old, new = old + (kind != "added"), new + (kind != "deleted")


def _cut(text: str) -> str:
    more = len(text) - WIDTH_LIMIT
    return plain(text) if more <= 0 else f"{plain(text[:WIDTH_LIMIT])} … {more} more characters"


def plain(text: str) -> str:
    """Text without characters that are not seen, or that turn what is seen around: `^M`, `‹U+202E›`."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    number = ord(character)
    if character == "\t" or unicodedata.category(character) not in {"Cc", "Cf", "Zl", "Zp"}:
        return character
    return f"^{chr(number + 64)}" if number < 0x20 else f"‹U+{number:04X}›"
