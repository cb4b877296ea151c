"""A secret on its way through the program: it says nothing of itself."""

from __future__ import annotations

from apps.access.secrets import decrypt


class Sealed:
    """A secret as the database holds it. It says nothing of itself; `open()` is the only way in."""

    __slots__ = ("token",)

    def __init__(self, token: str) -> None:
        self.token = token

    def open(self) -> str:
        """The text; raises DecryptionError."""
        return decrypt(self.token)

    def __repr__(self) -> str:
        return "<sealed>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sealed) and other.token == self.token

    def __hash__(self) -> int:
        return hash(self.token)
