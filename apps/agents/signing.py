"""The panel's signature under a build script that it holds: an agent runs none that lacks it.

RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2), which a few lines of Python can check without any library.
The agent learns the public key when it enrols and keeps it.
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEY_SIZE = 2048
EXPONENT = 65537
PADDING = padding.PKCS1v15()


def key_make() -> str:
    """A new private key as PEM."""
    private = rsa.generate_private_key(public_exponent=EXPONENT, key_size=KEY_SIZE)
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


class Signer:
    """Signs with the key in `pem`. Reading the key takes longer than a signature: keep it."""

    def __init__(self, pem: str) -> None:
        private = serialization.load_pem_private_key(pem.encode(), password=None)
        if not isinstance(private, rsa.RSAPrivateKey):
            raise TypeError("The signing key is no RSA key.")
        self._private = private

    @property
    def public(self) -> dict[str, object]:
        """As agents are told it: modulus in hexadecimal, exponent."""
        numbers = self._private.public_key().public_numbers()
        return {"n": f"{numbers.n:x}", "e": numbers.e}

    def sign(self, *, agent: str, run: int, trigger: str, count: int, script: str) -> str:
        """The signature of this one run of this script on this agent, in base64."""
        signature = self._private.sign(signed_text(agent, run, trigger, count, script), PADDING, hashes.SHA256())
        return base64.b64encode(signature).decode()


def signed_text(agent: str, run: int, trigger: str, count: int, script: str) -> bytes:
    """What is signed. A trigger's name may hold newlines: three lines before it and two after it are fixed."""
    digest = hashlib.sha256(script.encode()).hexdigest()
    return "\n".join(["deploypanel-run-1", agent, str(run), trigger, str(count), digest]).encode()
