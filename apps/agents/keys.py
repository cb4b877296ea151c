"""The two secrets of an agent, and what the database keeps of them.

An enrolment code is typed or pasted by a person and lives for minutes; a key lives on the agent's disk. Both are
random enough (79 and 256 bits) that a plain SHA-256 gives nothing away, and lets them be found by an index.
"""

from __future__ import annotations

import hashlib
import secrets

ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # nothing that looks like something else
GROUPS, GROUP_SIZE = 4, 4


def code_new() -> str:
    """Such as `K7QM-2XRD-HF4T-9WBC`."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP_SIZE)) for _ in range(GROUPS))


def code_digest(code: str) -> str:
    """Of a code as a person typed it: case, spaces and hyphens do not matter."""
    typed = "".join(character for character in code.upper() if character not in " -\t\r\n")
    return hashlib.sha256(f"code:{typed}".encode()).hexdigest()


def key_new() -> str:
    return f"dpa_{secrets.token_urlsafe(32)}"


def key_digest(key: str) -> str:
    return hashlib.sha256(f"key:{key}".encode("utf-8", "replace")).hexdigest()
