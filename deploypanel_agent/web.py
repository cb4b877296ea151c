"""HTTP to the panel: TLS verified, proxies of the environment honoured, no redirect followed, everything bounded."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from deploypanel_agent import __version__
from deploypanel_agent.errors import ConfigError, LineLost, PanelRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_LIMIT = 4 * 1024 * 1024  # bytes of a JSON answer
TIMEOUT = 20.0  # seconds without a byte
BROKEN = (OSError, http.client.HTTPException, ValueError)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the agent's key to who knows where."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    data: Any


class Web:
    """Requests to one panel."""

    def __init__(self, url: str, *, ca: str = "", headers: Mapping[str, str] | None = None) -> None:
        """`url`: the panel's address, perhaps with a path. `ca`: a file of certificates to trust, and no others."""
        self.url = url.rstrip("/")
        self._headers = {"User-Agent": f"deploypanel-agent/{__version__}", **(headers or {})}
        self.tls = tls_context(ca)
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=self.tls), _NoRedirect)

    def ask(self, path: str, body: Any, *, method: str = "POST", timeout: float = TIMEOUT) -> Answer:
        """A JSON question and its answer. Raises PanelRefused for a status that is no success, LineLost."""
        with self.open(path, body, method=method, timeout=timeout) as stream:
            try:
                raw = stream.read(ANSWER_LIMIT + 1)
            except BROKEN as error:
                raise LineLost(f"{self.url}: the answer broke off: {error}") from None
            data = _json(raw)
            return Answer(stream.status, dict(stream.headers.items()), data)

    def open(
        self,
        path: str,
        body: Any = None,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Any:
        """The answer as an open stream (`status`, `headers`, `read`). Raises PanelRefused, LineLost."""
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        request = urllib.request.Request(self.url + path, data=data, method=method)  # noqa: S310 - checked in config
        more = {"Content-Type": "application/json"} if data is not None else {}
        for name, value in {**self._headers, **more, **(headers or {})}.items():
            request.add_header(name, value)
        try:
            return self._opener.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            raise _refused(self.url, error) from None
        except urllib.error.URLError as error:
            raise LineLost(f"{self.url}: {_reason(error.reason)}") from None
        except BROKEN as error:
            raise LineLost(f"{self.url}: {_reason(error)}") from None


def tls_context(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"The file of certificates {ca} cannot be read: {error}.") from None


def _refused(url: str, error: urllib.error.HTTPError) -> PanelRefused:
    with error:
        data = _json(_read(error))
    told = str(data.get("error") or "") if isinstance(data, dict) else ""
    if not told and 300 <= error.code < 400:
        told = f"it redirects to {error.headers.get('Location', 'nowhere')}; enter that address instead"
    words = told or str(error.headers.get("X-Deploypanel-Reason") or f"HTTP {error.code}")
    try:
        after = float(error.headers.get("Retry-After") or 0)
    except ValueError:
        after = 0.0
    return PanelRefused(error.code, f"{url}: {words[:500]}", after)


def _read(stream: IO[bytes]) -> bytes:
    try:
        return stream.read(64 * 1024)
    except BROKEN:
        return b""


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        return None


def _reason(reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({reason.verify_message}); name the file that signs it with “ca”"
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return str(getattr(reason, "strerror", None) or reason)
