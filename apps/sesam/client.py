"""The door to Sesam nodes: every call of their API that the panel needs, over HTTP that expects the worst.

What a caller can rely on: no call lasts longer than its patience (only the look-up of a name is the system's own
matter); no answer is larger than its bound; no redirect is followed; a write is sent again only when it certainly did
not arrive, and raises AnswerLost when nobody can tell. The token appears in no text.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from http.client import IncompleteRead
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from apps.sesam.address import Hidden, api_address, token_cleaned
from apps.sesam.archive import LIMIT_BYTES, Archive, BadArchive, archive_made, files_digest, list_files, list_made
from apps.sesam.client_answers import READ_BACK, Answer, Call, Failure, broken_off, failure_of, untrusted
from apps.sesam.client_wire import POOLS, Watch, distrust, reason, tls_context
from apps.sesam.download import Download, NodeStatus
from apps.sesam.errors import AnswerLost, JsonProblem, NodeFault
from apps.sesam.json_text import json_read
from apps.sesam.patience import Patience, retry_after
from apps.sesam.words import has_halves, shown

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping

    from apps.sesam.configuration import Entity, Json
    from apps.sesam.models import Node

# urllib3 prints tracebacks for what our typed errors say in a sentence.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)

T = TypeVar("T")
LONGEST_ETAG = 200  # characters; a longer one is not worth keeping
_PIECE = 64 << 10
_JSON = {"Accept": "application/json"}


class NodeClient:
    """One node. Not for several threads at once; connections are kept between calls, until it is closed.

    `ca_bundle` is PEM text; empty: the system's authorities. `pause(seconds, why)` is called instead of sleeping
    between two attempts, and may raise to end it. Proxies are taken from the environment (`HTTPS_PROXY`, `NO_PROXY`)
    for https alone, where they see no more than the node's name; nothing else is: a `.netrc` would replace the token.

    Every call raises NodeUnreachable, NodeUnauthorized, NodeForbidden, NodeBusy, NodeFault or NodeRefused; a write
    also AnswerLost.
    """

    def __init__(
        self,
        *,
        url: str,
        jwt: str,
        ca_bundle: str = "",
        verify_tls: bool = True,
        patience: Patience | None = None,
        pause: Callable[[float, str], None] | None = None,
    ) -> None:
        self.address = api_address(url)
        self.patience = patience or Patience()
        self._token = token_cleaned(jwt)
        self._hidden = Hidden(self._token)
        self._reading: Watch | None = None
        self._interrupted = False
        self._pause = pause or _sleep
        self._adapter = _Adapter(tls_context(ca_bundle.strip(), verify_tls))
        self._session = _Session()
        self._session.trust_env = False
        self._session.verify = verify_tls
        for scheme in POOLS:
            self._session.mount(f"{scheme}://", self._adapter)
        self._proxies = get_environ_proxies(self.address) if self.address.startswith("https:") else {}

    @classmethod
    def of(cls, node: Node, **more: Any) -> Self:
        """The client with a node's own settings."""
        return cls(url=node.url, jwt=node.jwt, ca_bundle=node.ca_bundle, verify_tls=node.verify_tls, **more)

    def __repr__(self) -> str:
        return f"NodeClient({self.address})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def interrupt(self) -> None:
        """From another thread: let the call that waits fail at once, and any later one, if it only reads.

        A write is left to its end.
        """
        self._interrupted = True
        if (reading := self._reading) is not None:
            reading.expire()

    # Configuration

    def configuration(self, group: str = "", etag: str = "") -> Download:
        """All of it, or one configuration group; with the ETag of the last time, perhaps only that it is still so."""
        headers = {"Accept": "application/zip"} | ({"If-None-Match": etag} if etag else {})
        call = Call(
            method="GET",
            path=_config_path(group),
            what="downloading the configuration",
            headers=headers,
            expected=(200, 304) if etag else (200,),
        )
        return self._ask(call, self._download)

    def configuration_put(self, entities: Iterable[Entity], group: str = "") -> None:
        """Replace all of it, or one configuration group. Raises ConfigurationRefused with what the node dislikes.

        A zip, which is a tenth of the JSON; a group is sent as a list, as the clients of groups do. Without force:
        with it, a node takes what does not pass its validation (Sesam's changelog has it as the way around it).
        """
        # https://docs.sesam.io/hub/features/api-config-groups.html: a PUT replaces what is in that group, and nothing
        # outside of it.
        chosen = list(entities)
        body, kind = (list_made(chosen), "application/json") if group else (archive_made(chosen), "application/zip")
        call = Call(
            method="PUT",
            path=_config_path(group),
            what="sending the configuration",
            headers=_JSON | {"Content-Type": kind},
            query="force=false",
            body=body,
            changes=True,
        )
        self._ask(call, _nothing)

    # Variables and secrets

    def variables(self) -> dict[str, Json]:
        return self._ask(Call(method="GET", path="/env", what="reading variables", headers=_JSON), self._named)

    def variables_put(self, variables: Mapping[str, Json]) -> None:
        """Replace all of them."""
        self._ask(_write("PUT", "/env", "sending variables", variables), _nothing)

    def secrets(self) -> frozenset[str]:
        """Their names; a node never tells the values."""
        call = Call(method="GET", path="/secrets", what="reading the names of secrets", headers=_JSON, secret=True)
        return self._ask(call, self._names)

    def secrets_add(self, secrets: Mapping[str, str]) -> None:
        """Add these, or give them new values; the others stay. No refusal repeats them, this one's or a later one's."""
        self._hidden.add(*secrets.values())
        self._ask(_write("POST", "/secrets", "sending secrets", secrets), _nothing)

    def secret_delete(self, name: str) -> None:
        """Remove one. That it is not there is what was wanted."""
        call = Call(
            method="DELETE",
            path=f"/secrets/{quote(name, safe='')}",
            what="removing a secret",
            headers=_JSON,
            changes=True,
            secret=True,
            expected=(200, 202, 204, 404),
        )
        self._ask(call, _nothing)

    # The node itself

    def status(self) -> NodeStatus:
        said = self._ask(Call(method="GET", path="/", what="asking for its version", headers=_JSON), self._object)
        version = next((said[key] for key in ("version", "node_version", "service_version") if said.get(key)), "")
        return NodeStatus(version=str(version)[:80], state=str(said.get("state") or "")[:80])

    def deploying(self) -> list[str]:
        """The pipes that were changed and are not in place yet."""
        call = Call(method="GET", path="/pipes", what="asking what runs", headers=_JSON)
        pipes = self._ask(call, lambda answer: self._read(answer, list))
        return sorted(
            str(one.get("_id", "")) for one in pipes if isinstance(one, dict) and _runtime(one) == "Deploying"
        )

    def reformat(self, value: Json) -> Json:
        """An entity in the node's own canonical form."""
        call = Call(
            method="POST",
            path="/utils/reformat-config",
            what="asking for the canonical form",
            headers=_JSON | {"Content-Type": "application/json"},
            body=json.dumps(value).encode(),
        )
        return self._ask(call, self._object)

    # Reading answers

    def _download(self, answer: Answer) -> Download:
        etag = answer.headers.get("etag", "")
        etag = etag if len(etag) <= LONGEST_ETAG else ""
        if answer.status == 304:
            return Download(self.address, not_modified=True, etag=etag)
        given: dict[str, Any] = {"etag": etag, "size": len(answer.body)}
        try:
            if "json" in answer.headers.get("content-type", ""):
                files = list_files(answer.body)
                return Download(self.address, digest=files_digest(files), unpack=lambda: files, **given)
            archive = Archive(answer.body)
            return Download(self.address, digest=archive.digest, unpack=archive.files, **given)
        except BadArchive as error:
            text = f"The configuration of {self.address} {error}"
            raise _Failed(Failure(error=NodeFault(text, "Look at the node."), again=error.cut)) from None

    def _object(self, answer: Answer) -> dict[str, Json]:
        return dict(self._read(answer, dict))

    def _named(self, answer: Answer) -> dict[str, Json]:
        found = self._object(answer)
        if odd := next(filter(has_halves, found), None):
            text = f"{self.address} has a variable whose name is no text: {shown(odd[:80])}."
            raise _Failed(Failure(error=NodeFault(text, "Remove it from the node.")))
        return found

    def _names(self, answer: Answer) -> frozenset[str]:
        return frozenset(str(one) for one in self._read(answer, (list, dict)))

    def _read(self, answer: Answer, kind: type | tuple[type, ...]) -> Any:
        try:
            value = json_read(answer.body, self.address)
        except JsonProblem as problem:
            error = NodeFault(f"The answer cannot be read. {problem}", "Look at the node, and at the proxy before it.")
            raise _Failed(Failure(error=error, again=True)) from None
        if not isinstance(value, kind):
            error = NodeFault(f"{self.address} answered with something else than was asked for.", "Is it a node's API?")
            raise _Failed(Failure(error=error))
        return value

    # Asking

    def _ask(self, call: Call, read: Callable[[Answer], T]) -> T:
        """Ask, and again while that can help and patience lasts."""
        began, tried = time.monotonic(), 0
        while True:
            tried += 1
            spent = time.monotonic() - began
            try:
                return read(self._attempt(call, min(self.patience.total, self.patience.limit - spent)))
            except _Failed as failed:
                failure = failed.failure
            spent = time.monotonic() - began
            wait = self.patience.pause(tried, spent, retry_after(failure.asked)) if failure.again else None
            if wait is None:
                raise failure.error
            self._pause(wait, str(failure.error))

    def _attempt(self, call: Call, seconds: float) -> Answer:
        """Ask once. Raises _Failed."""
        if call.changes:
            # A kept connection may be gone by now, and a write that runs into that would count as lost.
            self._adapter.close()
        watch = Watch(seconds)
        self._reading = None if call.changes else watch
        if self._interrupted and not call.changes:
            watch.expire()  # it came between two calls
        try:
            with watch.running():
                answer = self._exchange(call, watch)
        except (requests.RequestException, HTTPError, OSError, IncompleteRead) as error:
            raise _Failed(self._broken(call, watch, error)) from None
        if failure := failure_of(call, answer, self.address):
            raise _Failed(failure)
        return answer

    def _exchange(self, call: Call, watch: Watch) -> Answer:
        silence = self.patience.write if call.changes else self.patience.read
        response = self._session.request(
            call.method,
            self.address + call.path + (f"?{call.query}" if call.query else ""),
            data=call.body,
            # Unpacked sizes are bounded anyway; what is not packed needs no unpacking.
            headers={"User-Agent": "deploypanel", "Accept-Encoding": "identity", **call.headers, **self._authorization},
            timeout=(min(self.patience.connect, watch.seconds), min(silence, watch.seconds)),
            allow_redirects=False,
            stream=True,
            proxies=self._proxies,
        )
        with contextlib.closing(response):
            watch.began = True
            body = self._body(call, response)
            if watch.expired or (call.changes and not _says_its_end(response)):
                raise IncompleteRead(body)  # what was cut off may look complete
        if response.status_code >= 300:
            body = self._hidden.left_out(body)
        headers = {name.lower(): self._hidden.left_out_of(value) for name, value in response.headers.items()}
        return Answer(status=response.status_code, headers=headers, body=body)

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _body(self, call: Call, response: requests.Response) -> bytes:
        pieces, size = [], 0
        for piece in response.iter_content(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > LIMIT_BYTES:
                text = f"{self.address} answered with more than {LIMIT_BYTES >> 20} MB while {call.what}."
                error = AnswerLost(text, READ_BACK) if call.changes else NodeFault(text, "Is it a node's API?")
                raise _Failed(Failure(error=error))
        return b"".join(pieces)

    def _broken(self, call: Call, watch: Watch, error: BaseException) -> Failure:
        if not watch.sent and (why := distrust(error)):
            return untrusted(self.address, why)
        why = f"it took longer than {watch.seconds:.3g} s" if watch.expired else reason(error)
        return broken_off(call, self.address, why, sent=watch.sent, began=watch.began and not watch.expired)


class _Failed(Exception):
    """One attempt came to nothing."""

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


class _Session(requests.Session):
    """Looks at no redirect: to prepare for one, requests would read all of the answer and believe its address."""

    def get_redirect_target(self, resp: Any) -> None:
        return None


class _Adapter(HTTPAdapter):
    """Connections that a watch can cut, with one TLS context and no other source of trust. It never tries again."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing to add: requests would put its own bundle of authorities beside the context's."""


def _config_path(group: str) -> str:
    return f"/config/{quote(group, safe='')}" if group else "/config"


def _write(method: str, path: str, what: str, value: Mapping[str, Json]) -> Call:
    # Variables are not secret, but a node's complaint about them need not be repeated either.
    return Call(
        method=method,
        path=path,
        what=what,
        headers=_JSON | {"Content-Type": "application/json"},
        body=json.dumps(dict(value)).encode(),
        changes=True,
        secret=True,
    )


def _runtime(pipe: dict[str, Json]) -> str:
    runtime = pipe.get("runtime")
    return str(runtime.get("state", "")) if isinstance(runtime, dict) else ""


def _says_its_end(response: requests.Response) -> bool:
    """Whether a cut would have been noticed. It is not where an answer ends with its connection, as in its head."""
    return response.status_code in {204, 304} or bool({"Content-Length", "Transfer-Encoding"} & set(response.headers))


def _sleep(seconds: float, _why: str) -> None:
    time.sleep(seconds)


def _nothing(answer: Answer) -> None:
    """A write's answer says all that matters in its status."""
