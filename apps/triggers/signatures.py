"""How each forge proves who it is, and by which headers it tells what happened."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIVE_SECRETS = 2  # the present one and the former one


@dataclass(frozen=True)
class Proof:
    """Where a forge puts its proof, and how it is made: an HMAC-SHA256 of the body, or the secret itself."""

    header: str
    prefix: str = ""
    is_token: bool = False


@dataclass(frozen=True)
class Headers:
    proofs: tuple[Proof, ...]
    event: str
    delivery: tuple[str, ...]


FORGES: dict[str, Headers] = {
    "github": Headers((Proof("X-Hub-Signature-256", "sha256="),), "X-GitHub-Event", ("X-GitHub-Delivery",)),
    "gitlab": Headers(
        (Proof("X-Gitlab-Token", is_token=True),), "X-Gitlab-Event", ("Idempotency-Key", "X-Gitlab-Event-UUID")
    ),
    "gitea": Headers(
        (Proof("X-Gitea-Signature"), Proof("X-Forgejo-Signature")), "X-Gitea-Event", ("X-Gitea-Delivery",)
    ),
    "bitbucket": Headers((Proof("X-Hub-Signature", "sha256="),), "X-Event-Key", ("X-Request-UUID", "X-Request-Id")),
    "git": Headers(
        (Proof("X-Deploypanel-Signature", "sha256="), Proof("X-Deploypanel-Token", is_token=True)),
        "X-Deploypanel-Event",
        ("X-Deploypanel-Delivery",),
    ),
}


def is_genuine(forge: str, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> bool:
    """Whether the call bears the proof of one of these secrets.

    Always does the same work, however many secrets there are and whatever is wrong: each proof of the
    forge is compared with two secrets, in constant time. An empty secret is never right.
    """
    padded = [*secrets, *[""] * LIVE_SECRETS][:LIVE_SECRETS]
    genuine = False
    for proof in FORGES[forge].proofs:
        given = headers.get(proof.header, "").encode("utf-8", "replace")
        for secret in padded:
            right = hmac.compare_digest(given, _expected(proof, secret, body))
            genuine |= right and bool(secret)
    return genuine


def _expected(proof: Proof, secret: str, body: bytes) -> bytes:
    if proof.is_token:
        return secret.encode()
    return proof.prefix.encode() + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()


def sign(secret: str, body: bytes) -> str:
    """The `X-Deploypanel-Signature` of a body, as the post-receive script makes it."""
    return _expected(FORGES["git"].proofs[0], secret, body).decode()


def event_of(forge: str, headers: Mapping[str, str]) -> str:
    """The event's name as the forge writes it; `push` for our own hook."""
    return headers.get(FORGES[forge].event, "")[:60] or ("push" if forge == "git" else "")


def delivery_of(forge: str, headers: Mapping[str, str], body: bytes) -> str:
    """What tells this delivery from all others: the forge's own number, or a hash of the body where it has none."""
    for name in FORGES[forge].delivery:
        given = headers.get(name, "")
        if re.fullmatch(r"[A-Za-z0-9._:{}-]{1,100}", given):
            return given
    return "sha256:" + hashlib.sha256(body).hexdigest()
