"""The door to what is downloaded over HTTP, from origins that nobody vouches for.

The name is resolved once, every address that it has is checked, and the connection is made to a checked one. Redirects
are followed by hand, each hop checked like the first. Proxies, `.netrc` and the like of the environment are not looked
at: a proxy would resolve the name again. Nothing is unpacked on the way, and nothing is held in memory whole.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from apps.files.address import Address, address_read, url_shown
from apps.files.errors import FileError, FileMissing, FileRefused
from apps.files.intake import PIECE, Got, Intake, Wish
from apps.files.wire import CONNECT, POOLS, line, reason, tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apps.files.guard import Guard
    from apps.files.patience import Watch

logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # our errors say it in a sentence

HOPS = 5  # redirects
SILENCE = 60.0  # seconds
TRIES, RETRY_AFTER = 2, 0.5  # where the origin fails before a byte of the file has come; seconds
_REDIRECTS = {301, 302, 303, 307, 308}
_LATER = {408, 425, 429}


class _Failed(FileError):
    """The origin failed before a byte of the file had come: it may be asked once more."""


def download(wish: Wish, guard: Guard, watch: Watch, into: IO[bytes]) -> Got:
    """Fetch the file, within the time of `watch`. Raises FileError and its kinds."""
    for left in reversed(range(TRIES)):
        try:
            return _download(wish, guard, watch, into)
        except _Failed as error:
            if not left or watch.left < RETRY_AFTER:
                raise FileError(str(error)) from None
            time.sleep(RETRY_AFTER)
    raise AssertionError("unreachable")


def _download(wish: Wish, guard: Guard, watch: Watch, into: IO[bytes]) -> Got:
    intake = Intake(into, wish.limit)
    try:
        with line(guard, watch), _Session() as session, _answer(session, wish, guard) as response:
            if response.status_code == 304 and (wish.etag or wish.last_modified):
                return Got(unchanged=True)
            _accepted(response)
            _taken(response, intake)
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        if watch.expired:
            raise FileError(f"It took longer than {watch.seconds:g} seconds.") from None
        sentence = f"{wish.address.origin} could not be asked: {reason(error)}."
        raise (FileError if intake.size else _Failed)(sentence) from None
    if watch.expired:
        raise FileError(f"It took longer than {watch.seconds:g} seconds.")
    told = {name: response.headers.get(name, "") for name in ("Content-Type", "ETag", "Last-Modified")}
    return Got(
        size=intake.size,
        sha256=intake.sha256,
        content_type=told["Content-Type"][:200],
        etag=told["ETag"] if len(told["ETag"]) <= 300 else "",
        last_modified=told["Last-Modified"] if len(told["Last-Modified"]) <= 60 else "",
    )


@contextmanager
def _answer(session: requests.Session, wish: Wish, guard: Guard) -> Iterator[requests.Response]:
    """The answer at the end of all redirects, its body not read yet."""
    address, headers = wish.address, _headers(wish)
    for _hop in range(HOPS + 1):
        guard.admit(address)
        # Credentials in an address are for its own origin: each hop has those of its own address only.
        with session.get(
            address.url, headers=headers, stream=True, allow_redirects=False, timeout=(CONNECT, SILENCE)
        ) as response:
            target = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or not target:
                yield response
                return
        address = _next(address, target)
    raise FileError(f"{wish.address.origin} redirects more than {HOPS} times.")


def _next(address: Address, target: str) -> Address:
    # Header values are Latin-1; what is meant are the bytes of UTF-8.
    following = address_read(urljoin(address.url, target.encode("latin-1", "replace").decode("utf-8", "replace")))
    if following.is_s3 or (address.scheme == "https" and following.scheme != "https"):
        raise FileRefused(f"{address.origin} redirects to {following.origin}, which is not followed.")
    return following


def _headers(wish: Wish) -> dict[str, str]:
    headers = {"User-Agent": "Deploypanel", "Accept": "*/*", "Accept-Encoding": "identity"}
    if wish.etag:
        headers["If-None-Match"] = wish.etag
    elif wish.last_modified:
        headers["If-Modified-Since"] = wish.last_modified
    return headers


def _accepted(response: requests.Response) -> None:
    status = response.status_code
    if 200 <= status < 300 and status != 206:
        return
    sentence = f"{url_shown(response.url)[:200]} answered {status}."
    if 400 <= status < 500 and status not in _LATER:
        raise FileMissing(sentence)
    raise (_Failed if status >= 500 else FileError)(sentence)


def _taken(response: requests.Response, intake: Intake) -> None:
    length = response.headers.get("Content-Length", "")
    intake.announced(int(length) if length.isdecimal() and length.isascii() else 0)
    while piece := response.raw.read(PIECE, decode_content=False):
        intake.write(piece)


class _Session(requests.Session):
    """Trusts nothing of the environment, follows nothing, and connects to checked addresses only."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.adapters.clear()
        for scheme in POOLS:
            self.mount(f"{scheme}://", _Adapter(max_retries=0))

    def get_redirect_target(self, resp: Any) -> None:
        return None


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=tls_context(), **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing to add: requests would put its own bundle of authorities beside the system's."""
