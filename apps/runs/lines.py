"""From what a program writes, in pieces of any size, to whole lines of clean text."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apps.runs.masks import Masks

LONGEST_LINE = 64 * 1024  # characters; a longer line is stored as several
_CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def storable(text: str) -> str:
    """`text` as every database takes it: without NUL (PostgreSQL refuses it) and without half surrogates."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\0", "")


class LineBuffer:
    """One stream of one host. Feed it, take the whole lines; what has no end yet stays.

    Bytes that are no UTF-8 become U+FFFD, NUL is removed (PostgreSQL refuses it), and of a line drawn
    over itself with carriage returns (a progress bar) the last state stays. ANSI colours are kept.
    """

    def __init__(self, masks: Masks) -> None:
        self._masks = masks
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest: list[str] = []
        self._rest_size = 0

    def feed(self, data: bytes | str) -> str:
        """The lines that `data` completes, each with its newline; of a line that is too long, its beginning early."""
        text = self._decode(data)
        end = text.rfind("\n") + 1
        lines = ""
        if end:
            lines = _clean("".join([*self._rest, text[:end]]))
            self._rest, self._rest_size = [], 0
        if end < len(text):
            self._rest.append(text[end:])
            self._rest_size += len(text) - end
            if self._rest_size > LONGEST_LINE:
                lines += self._shorten()
        return lines

    def finish(self) -> str:
        """What is left, as a line."""
        text = "".join(self._rest) + self._decoder.decode(b"", final=True)
        self._rest, self._rest_size = [], 0
        self._decoder.reset()
        return _clean(text + "\n") if text.strip("\r\0") else ""

    def _decode(self, data: bytes | str) -> str:
        return storable(data) if isinstance(data, str) else self._decoder.decode(data).replace("\0", "")

    def _shorten(self) -> str:
        """Keep the unfinished line small: drop what was drawn over, give out the beginning of the rest."""
        text = "".join(self._rest)
        text = text[text.rfind("\r", 0, len(text) - 1) + 1 :]
        given = ""
        if len(text) > LONGEST_LINE:
            # Hidden before it is cut, and the beginning of a secret held back: a cut must not go through one.
            text = self._masks.hide(text)
            given = text[: max(0, len(text) - self._masks.longest)]
        rest = text[len(given) :]
        self._rest, self._rest_size = [rest], len(rest)
        return given + "\n" if given else ""


def split_long(text: str, size: int = LONGEST_LINE) -> str:
    """The same lines (each ends with a newline), those longer than `size` characters broken into several."""
    if len(text) <= size:
        return text
    lines = text[:-1].split("\n")
    if max(map(len, lines)) <= size:
        return text
    pieces = [line[start : start + size] for line in lines for start in range(0, len(line) or 1, size)]
    return "\n".join(pieces) + "\n"


def _clean(text: str) -> str:
    if "\r" not in text:
        return text
    text = text.replace("\r\n", "\n")
    if "\r" not in text:
        return text
    return "\n".join(_last_state(line) if "\r" in line else line for line in text.split("\n"))


def _last_state(line: str) -> str:
    """The last thing that was drawn and not merely erased."""
    states = line.split("\r")
    for state in reversed(states):
        if _CONTROL_SEQUENCE.sub("", state).strip():
            return state
    return states[-1]
