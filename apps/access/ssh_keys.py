"""SSH private keys as text: read, checked, made. No files, no network."""

from __future__ import annotations

import base64
import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from apps.access.errors import InputError

KeyPair = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
LEAST_RSA_BITS = 2048


def private_key_normal(text: str) -> str:
    """The key with the line ends that OpenSSH insists on."""
    return "\n".join(line.strip() for line in text.strip().splitlines()) + "\n"


def public_key_of(private: str, comment: str = "") -> str:
    """The public half, as one line for `authorized_keys`; raises InputError that says what is wrong with the key."""
    public = _load(private).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return f"{public} {comment}".rstrip()


def private_key_make() -> str:
    """A new ed25519 private key in OpenSSH's format, without a passphrase."""
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def fingerprint(public: str) -> str:
    """`SHA256:…` as ssh-keygen shows it; empty when there is no key to take it of."""
    parts = public.split()
    if len(parts) < 2:
        return ""
    digest = hashlib.sha256(base64.b64decode(parts[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def _load(private: str) -> KeyPair:
    data = private_key_normal(private).encode()
    key: object
    try:
        if b"BEGIN OPENSSH PRIVATE KEY" in data:
            key = serialization.load_ssh_private_key(data, password=None)
        else:
            key = serialization.load_pem_private_key(data, password=None)
    except TypeError:  # what the library raises when a passphrase is missing
        raise InputError("The key has a passphrase; the panel needs one without (ssh-keygen -p -N '').") from None
    except (ValueError, UnsupportedAlgorithm):
        # The library's own message is left out: it may quote what was given.
        raise InputError("This is not a private key in OpenSSH or PEM format that can be read.") from None
    return _accepted(key)


def _accepted(key: object) -> KeyPair:
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < LEAST_RSA_BITS:
            raise InputError(f"An RSA key of {key.key_size} bits is too weak; use ed25519.")
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
        return key
    raise InputError("Only ed25519, ECDSA and RSA keys are supported; use ed25519.")
