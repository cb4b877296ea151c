"""What people may write for a branch, a tag or a commit."""

from __future__ import annotations

import re

from apps.access.errors import InputError

_COMMIT = re.compile(r"\A[0-9a-fA-F]{4,64}\Z")
# What Git itself forbids in the name of a ref. Everything else, `$(id)` too, is a name like any other.
_NO_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\A[-/.]|[/.]\Z|\.lock\Z")


def ref_checked(ref: str) -> str:
    """A name that Git would allow; raises InputError. Whether it exists, the run finds out."""
    ref = ref.strip()
    if not ref or len(ref) > 255 or _NO_REF.search(ref):
        raise InputError(f"{ref[:80]!r} cannot be a branch, a tag or a commit.", "ref")
    return ref


def commit_checked(commit: str) -> str:
    """A commit number, short or full, in small letters; empty stays empty. Raises InputError."""
    commit = commit.strip().lower()
    if commit and not _COMMIT.match(commit):
        raise InputError(f"{commit[:80]!r} is no commit: give 4 to 64 hexadecimal digits.", "commit")
    return commit
