"""Checking the panel's signature on a build script: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, 8.2.2).

Only checking, with a public key: no secret is touched, so plain integers will do.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")  # DER: SHA-256, then 32 bytes
SHORTEST_KEY = 2048  # bits


def signed_text(agent: str, run: int, trigger: str, count: int, script: str) -> bytes:
    """What the panel signs: this script for this run of this agent, and for no other."""
    digest = hashlib.sha256(script.encode()).hexdigest()
    return f"deploypanel-run-1\n{agent}\n{run}\n{trigger}\n{count}\n{digest}".encode()


def is_key(key: Any) -> bool:
    """Whether this is a public key that is strong enough: `{"n": hex, "e": 65537}`."""
    try:
        return int(str(key["n"]), 16).bit_length() >= SHORTEST_KEY and int(key["e"]) >= 3
    except (KeyError, TypeError, ValueError):
        return False


def is_signed(key: Mapping[str, Any], text: bytes, signature: str) -> bool:
    """Whether the holder of the key has signed this text."""
    modulus, exponent = int(str(key["n"]), 16), int(key["e"])
    size = (modulus.bit_length() + 7) // 8
    try:
        given = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    number = int.from_bytes(given, "big")
    if len(given) != size or number >= modulus:
        return False
    tail = DIGEST_INFO + hashlib.sha256(text).digest()
    expected = b"\x00\x01" + b"\xff" * (size - len(tail) - 3) + b"\x00" + tail
    return hmac.compare_digest(pow(number, exponent, modulus).to_bytes(size, "big"), expected)
