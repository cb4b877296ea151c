"""Public host keys of Git servers: read, checked, named by fingerprint."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass

from apps.access.errors import InputError

KINDS = frozenset(
    {
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)


@dataclass(frozen=True)
class HostKey:
    kind: str
    blob: str  # base64, as in a known_hosts file

    @property
    def fingerprint(self) -> str:
        """As ssh shows it: `SHA256:…`."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def line(self) -> str:
        return f"{self.kind} {self.blob}"


def host_keys_parse(text: str) -> list[HostKey]:
    """The keys in `text`, one a line, with or without a host name before them; raises InputError."""
    keys: list[HostKey] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line and not line.startswith("#"):
            key = _key_in(line, f"line {number}")
            if key not in keys:
                keys.append(key)
    return keys


def _key_in(line: str, place: str) -> HostKey:
    words = line.split()
    at = next((index for index, word in enumerate(words[:3]) if word in KINDS), None)
    if at is None or at + 1 >= len(words):
        raise InputError("no public host key; it looks like “ssh-ed25519 AAAA…”", place)
    key = HostKey(words[at], words[at + 1])
    if not re.fullmatch(r"[A-Za-z0-9+/]+=*", key.blob) or _kind_inside(key.blob) != key.kind:
        raise InputError(f"the key is cut or changed: it is no {key.kind} key", place)
    return key


def _kind_inside(blob: str) -> str:
    """The kind that the key's own bytes name; empty when they cannot be read."""
    try:
        raw = base64.b64decode(blob, validate=True)
        (length,) = struct.unpack(">I", raw[:4])
        return raw[4 : 4 + length].decode("ascii") if len(raw) > 4 + length else ""
    except (binascii.Error, struct.error, UnicodeDecodeError):
        return ""
