"""Hides secrets by their value, in all the shapes in which programs print them."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

HIDDEN = "********"
LEAST = 4  # characters; anything shorter would blot out half of the log


class Masks:
    """The secrets of one run. Works line by line: of a secret with several lines, each is hidden."""

    def __init__(self) -> None:
        self._shapes: tuple[str, ...] = ()
        self.longest = 0  # characters: how much of an unfinished text may be the beginning of a secret

    def add(self, secret: str) -> None:
        """From now on `secret` is hidden; shorter than four characters, it is not."""
        shapes = set(self._shapes)
        for line in secret.replace("\r", "\n").split("\n"):
            if len(line.strip()) >= LEAST:
                shapes |= _shapes(line.strip())
        # Longest first: a secret that contains another is hidden as a whole.
        self._shapes = tuple(sorted(shapes, key=lambda shape: (-len(shape), shape)))
        self.longest = max(map(len, self._shapes), default=0)

    def hide(self, text: str) -> str:
        for shape in self._shapes:
            if shape in text:
                text = text.replace(shape, HIDDEN)
        return text


def _shapes(secret: str) -> set[str]:
    shapes = {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        secret.replace("'", "'\"'\"'"),  # as shlex.quote writes it
    }
    return shapes | {shape for shape in _base64_shapes(secret.encode()) if len(shape) >= 8}


def _base64_shapes(secret: bytes) -> set[str]:
    """How the secret looks inside base64 text (`user:password`), for each of its three alignments."""
    shapes = set()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret).decode().rstrip("=")
        # Characters that mix with what stands before or after are not the secret's own.
        start = (before * 8 + 5) // 6
        spare = (before + len(secret)) % 3
        shape = encoded[start : len(encoded) - 1 if spare else None]
        shapes |= {shape, shape.replace("+", "-").replace("/", "_")}
    return shapes
