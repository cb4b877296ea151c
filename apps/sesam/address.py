"""A node's address and token as people enter them, and what of a node's words must never be repeated. No I/O."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from apps.access.errors import InputError
from apps.sesam.soundness import url_fault

LEFT_OUT = "..."
_LEAST = 4  # characters; anything shorter would blot out half of a sentence


class Hidden:
    """Secrets that a node knows, and could repeat in its refusals."""

    def __init__(self, *secrets: str) -> None:
        self._texts: set[str] = set()
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        known = (text for text in secrets if len(text.strip()) >= _LEAST)
        self._texts |= {form for text in known for form in (text, text.strip(), json.dumps(text)[1:-1])}

    def left_out_of(self, text: str) -> str:
        # Longest first: a secret that contains another is hidden as a whole.
        for secret in sorted(self._texts, key=len, reverse=True):
            text = text.replace(secret, LEFT_OUT)
        return text

    def left_out(self, body: bytes) -> bytes:
        for secret in sorted(self._texts, key=len, reverse=True):
            body = body.replace(secret.encode("utf-8", "surrogatepass"), LEFT_OUT.encode())
        return body


def api_address(url: str) -> str:
    """The API's address: “/api” is added where it was left out. Raises InputError."""
    if fault := url_fault(url):
        raise InputError(f"The node's address must look like https://dev.example/api{fault}.", "API URL")
    parts = urlsplit(url.strip())
    address = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return address if address.endswith("/api") else f"{address}/api"


def token_cleaned(jwt: str) -> str:
    """A token as people paste it: with quotes, or with “bearer” before it. Raises InputError, without the token."""
    token = jwt.strip().strip("\"'").strip()
    if token[:7].lower() == "bearer ":
        token = token[7:].strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError("The node's token is empty, or holds what no token has: enter the JWT again.", "JWT")
    return token
