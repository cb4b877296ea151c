"""Addresses of files: read strictly, known by a digest, and shown without what is secret in them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from apps.files.errors import FileRefused

LONGEST = 4000  # characters
PORTS = {"http": 80, "https": 443}
_UNFIT = re.compile(r"[\x00-\x20\x7f\\]")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?|\[[0-9a-f:.]+(%25[a-z0-9_.-]+)?\]")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_TELLING = re.compile(r"token|sig|key|secret|pass|auth|credential", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """Where a file is. For S3 `host` is the bucket and `path` the key; else `url` is what to ask for."""

    scheme: str
    host: str
    port: int
    path: str
    url: str

    @property
    def origin(self) -> str:
        port = "" if self.port == PORTS.get(self.scheme) or self.is_s3 else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    @property
    def is_s3(self) -> bool:
        return self.scheme == "s3"


def address_read(url: str) -> Address:
    """The address in a text. Raises FileRefused for what is none that can be asked."""
    text = url.strip()
    if len(text) > LONGEST:
        raise FileRefused(f"An address has at most {LONGEST} characters.")
    try:
        text.encode()  # not so for halves of characters, which no database takes
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise FileRefused(f"“{_plain(text)}” is no address.") from None
    if parts.scheme == "s3":
        return _s3(text, parts.netloc, parts.path.lstrip("/"), bool(parts.query or parts.fragment))
    if _UNFIT.search(text) or parts.scheme not in PORTS or not parts.netloc:
        raise FileRefused(f"“{_plain(text)}” is no address that begins with http://, https:// or s3://.")
    host = _host(text, parts.netloc)
    return Address(parts.scheme, host, port or PORTS[parts.scheme], parts.path, urlunsplit(parts._replace(fragment="")))


def _host(text: str, netloc: str) -> str:
    """The host's name in small letters. What two readers understand differently is refused."""
    host = netloc.rpartition("@")[2].lower()
    host = re.sub(r":\d*$", "", host)
    try:
        other = (parse_url(text).host or "").lower()
    except LocationParseError:
        other = ""
    # Zones of IPv6 are written in two ways; where they lead is checked on the connection itself.
    if not _HOST.fullmatch(host) or (other != host and "%" not in host):
        raise FileRefused(f"“{_plain(host)}” is no host's name. Names with other letters are written as xn--….")
    return host


def _s3(text: str, bucket: str, key: str, more: bool) -> Address:
    if not _BUCKET.fullmatch(bucket) or not key or not text.isprintable():
        raise FileRefused(f"“{_plain(text)}”: an address in S3 is s3://BUCKET/KEY.")
    if more:  # a key may hold these; urlsplit has taken them for something else
        key = text.split("/", 3)[3].lstrip("/")
    return Address("s3", bucket, 0, key, text)


def _plain(text: str) -> str:
    """As it can be printed and stored, whatever it is."""
    return "".join(letter if letter.isprintable() else "?" for letter in url_shown(text)[:200])


def url_digest(url: str) -> str:
    """What an address is known by."""
    return hashlib.sha256(url.strip().encode("utf-8", "surrogatepass")).hexdigest()


def url_shown(url: str) -> str:
    """An address as people may see it: without passwords, and without what lets anybody in."""
    head, at, rest = url.partition("?")
    scheme, _, place = head.partition("://")
    host, slash, path = place.partition("/")
    if "@" in host:
        head = f"{scheme}://…@{host.rpartition('@')[2]}{slash}{path}"
    if not at:
        return head
    return f"{head}?{'&'.join(_pair_shown(pair) for pair in rest.split('&'))}"


def _pair_shown(pair: str) -> str:
    name, equals, _value = pair.partition("=")
    return f"{name}=…" if equals and _TELLING.search(unquote(name)) else pair


def endpoint_read(endpoint: str) -> tuple[str, str, int | None] | None:
    """Who would be given what a key of S3 signs; None for what is no address."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return None
    is_address = parts.scheme in PORTS and parts.hostname and "@" not in parts.netloc
    return (parts.scheme, parts.hostname or "", port or PORTS[parts.scheme]) if is_address else None
