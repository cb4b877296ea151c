"""A Sesam node that behaves like one: real HTTP and TLS on loopback, every call of the API, and every fault.

    python -m tests.fakes.sesam_node --port 9042 --jwt TOKEN --state node.json [--tls CERT KEY]

Standard library only: demonstrations start it as a process of its own.
"""

from __future__ import annotations

import argparse
import email
import json
import signal
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.fakes.node_store import Invalid, NodeStore, canonical_text, files_read, kind_of
from tests.fakes.wire import Answer, WireServer

VERSION = "1.0.4711"


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode())


NOT_FOUND = {"detail": "There is no such thing."}


class FakeNode(WireServer):
    """`entities`, `variables` and `secrets` are what the node holds; tests read and change them as they like.

    `url` is the API's address, `jwt` the token that may do all, `readonly_jwt` the one that may only read. `etags`
    off: as nodes that give none. `faults.add(method, path, kind, …)`: see `Faults`. `requests` has (method, path) of
    every call, `log` also how it was answered.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        jwt: str = "good-token",
        readonly_jwt: str = "reading-token",
        tls: tuple[str, str] | None = None,
        state: Path | None = None,
        etags: bool = True,
        deploying: float = 0.0,
    ) -> None:
        self.store = NodeStore(state)
        self.jwt, self.readonly_jwt = jwt, readonly_jwt
        self.etags = etags
        self.deploying = deploying  # seconds that a changed pipe is on its way
        self.version = VERSION
        self._started = time.time()
        self._zips: dict[str, bytes] = {}  # the newest, by ETag: one checked often is packed once
        super().__init__(port, tls)

    @property
    def url(self) -> str:
        return f"{self.address}/api"

    @property
    def entities(self) -> dict[str, dict[str, Any]]:
        return self.store.entities

    @entities.setter
    def entities(self, value: dict[str, dict[str, Any]]) -> None:
        self.store.entities = value

    @property
    def variables(self) -> dict[str, Any]:
        return self.store.variables

    @variables.setter
    def variables(self, value: dict[str, Any]) -> None:
        self.store.variables = value

    @property
    def secrets(self) -> dict[str, str]:
        return self.store.secrets

    @secrets.setter
    def secrets(self, value: dict[str, str]) -> None:
        self.store.secrets = value

    @property
    def unknown(self) -> dict[str, bytes]:
        return self.store.unknown

    def put(self, *entities: dict[str, Any]) -> None:
        """Have these, besides what is there."""
        with self.store.lock:
            self.store.entities.update({one["_id"]: one for one in entities})
            self.store.save()

    @property
    def writes(self) -> list[tuple[str, str]]:
        """Method and path of the requests that change something."""
        return [one for one in self.requests if one[0] != "GET" and "/utils/" not in one[1]]

    # Answering

    def answer_of(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        if refusal := self._refusal(method, path, headers):
            return refusal
        parts = [unquote(one) for one in path.split("/") if one]
        if parts[:1] != ["api"]:
            return _json(NOT_FOUND, 404)
        call = getattr(self, f"_{parts[1].replace('-', '_')}" if len(parts) > 1 else "_root", None)
        if call is None or (len(parts) > 1 and parts[1] not in CALLS):
            return _json(NOT_FOUND, 404)
        with self.store.lock:
            try:
                return call(method, parts[2:], query, headers, body)
            except Invalid as invalid:
                return _json({"validation_errors": invalid.errors}, 400)
            except (ValueError, TypeError) as problem:
                return _json({"detail": f"The request is not understood: {problem}"}, 400)

    def _refusal(self, method: str, path: str, headers: dict[str, str]) -> Answer | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token not in {self.jwt, self.readonly_jwt}:
            return _json({"detail": "The JSON Web Token is missing, wrong or too old."}, 401)
        if token != self.jwt and method != "GET" and not path.startswith("/api/utils/"):
            return _json({"detail": "This token may only read."}, 403)
        return None

    def _config(self, method: str, rest: list[str], query: str, headers: dict[str, str], body: bytes) -> Answer:
        if len(rest) > 1 or method not in {"GET", "PUT"}:
            return _json(NOT_FOUND, 404 if len(rest) > 1 else 405)
        group = rest[0] if rest else ""
        if method == "GET":
            return self._config_get(group, headers)
        posted, unknown = posted_config(headers.get("content-type", ""), body)
        force = parse_qs(query).get("force", ["false"])[0] == "true"
        self.store.replace(posted, group, force, unknown)
        return _json({"message": "OK"})

    def _config_get(self, group: str, headers: dict[str, str]) -> Answer:
        as_zip = "application/zip" in headers.get("accept", "")
        tag = f'"{self.store.digest(group)[:32]}{"z" if as_zip else "j"}"'
        given = {"ETag": tag} if self.etags else {}
        if self.etags and headers.get("if-none-match") == tag:
            return Answer(304, headers=given)
        if not as_zip:
            return Answer(200, json.dumps(self.store.of_group(group)).encode(), headers=given)
        if tag not in self._zips:
            self._zips = {tag: self.store.zipped(group)}
        packed = self._zips[tag] if self.etags else self.store.zipped(group)
        return Answer(200, packed, "application/zip", given)

    def _env(self, method: str, rest: list[str], query: str, headers: dict[str, str], body: bytes) -> Answer:
        if method == "GET":
            return _json(self.store.variables)
        given = _object(body)
        # A new dictionary: who holds the old one sees what was there before.
        self.store.variables = given if method == "PUT" else self.store.variables | given
        self.store.save()
        return _json(self.store.variables)

    def _secrets(self, method: str, rest: list[str], query: str, headers: dict[str, str], body: bytes) -> Answer:
        answer, self.store.secrets = self._secrets_of(self.store.secrets, method, rest, body)
        self.store.save()
        return answer

    def _secrets_of(
        self, held: dict[str, str], method: str, rest: list[str], body: bytes
    ) -> tuple[Answer, dict[str, str]]:
        """The same for the node's own and for each system's: the answer, and what is held afterwards."""
        if method == "DELETE":
            if not rest or rest[0] not in held:
                return _json(NOT_FOUND, 404), held
            return _json({"message": "OK"}), {name: value for name, value in held.items() if name != rest[0]}
        if method == "GET":
            return _json(sorted(held)), held
        given = {name: str(value) for name, value in _object(body).items()}
        return _json({"message": "OK"}), given if method == "PUT" else held | given

    def _systems(self, method: str, rest: list[str], query: str, headers: dict[str, str], body: bytes) -> Answer:
        if len(rest) >= 2 and rest[1] == "secrets":
            if kind_of(self.entities.get(rest[0], {})) != "system":
                return _json(NOT_FOUND, 404)
            held = self.store.system_secrets.get(rest[0], {})
            answer, self.store.system_secrets[rest[0]] = self._secrets_of(held, method, rest[2:], body)
            self.store.save()
            return answer
        return self._things("system", rest)

    def _pipes(self, method: str, rest: list[str], query: str, headers: dict[str, str], body: bytes) -> Answer:
        return self._things("pipe", rest)

    def _things(self, kind: str, rest: list[str]) -> Answer:
        things = [self._thing(name, one) for name, one in self.entities.items() if kind_of(one) == kind]
        if not rest:
            return _json(things)
        found = [one for one in things if one["_id"] == rest[0]]
        return _json(found[0]) if found else _json(NOT_FOUND, 404)

    def _thing(self, name: str, entity: dict[str, Any]) -> dict[str, Any]:
        fresh = time.monotonic() - self.store.changed_at.get(name, -1e9) < self.deploying
        config = {"original": entity, "effective": entity, "validation": {"valid": True}}
        return {"_id": name, "config": config, "runtime": {"state": "Deploying" if fresh else "Running"}}

    def _utils(self, method: str, rest: list[str], query: str, headers: dict[str, str], body: bytes) -> Answer:
        if rest != ["reformat-config"] or method != "POST":
            return _json(NOT_FOUND, 404)
        return Answer(200, canonical_text(_object(body)).encode())

    def _root(self, method: str, rest: list[str], query: str, headers: dict[str, str], body: bytes) -> Answer:
        return _json({"version": self.version, "name": "fake"})

    def _health(self, method: str, rest: list[str], query: str, headers: dict[str, str], body: bytes) -> Answer:
        return _json({"status": "ok"})

    def _license(self, method: str, rest: list[str], query: str, headers: dict[str, str], body: bytes) -> Answer:
        return _json({"valid": True, "_id": "license", "expires": "2099-12-31"})

    def _status(self, method: str, rest: list[str], query: str, headers: dict[str, str], body: bytes) -> Answer:
        return _json({"state": "running", "version": self.version, "node_start_time": self._started})


CALLS = {"config", "env", "secrets", "systems", "pipes", "utils", "health", "license", "status"}


def _object(body: bytes) -> dict[str, Any]:
    value = json.loads(body)
    if not isinstance(value, dict):
        raise TypeError("an object is needed")
    return value


def posted_config(content_type: str, body: bytes) -> tuple[list[Any], dict[str, bytes]]:
    """A raw zip, a form with the part `file`, or a JSON list: the entities, and files that are none."""
    if content_type.startswith("multipart/form-data"):
        message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
        for part in message.walk():
            if part.get_param("name", header="content-disposition") == "file":
                return files_read(part.get_payload(decode=True))  # type: ignore[arg-type]
        raise ValueError("the form has no part named file")
    if content_type.startswith("application/zip"):
        return files_read(body)
    posted = json.loads(body)
    if not isinstance(posted, list):
        raise TypeError("a list of entities is needed")
    return posted, {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--jwt", default="good-token")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--state", type=Path, help="kept here over restarts")
    parser.add_argument("--no-etags", action="store_true")
    parser.add_argument("--deploying", type=float, default=2.0, help="seconds that a changed pipe is on its way")
    given = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        node = FakeNode(
            given.port, jwt=given.jwt, tls=given.tls and tuple(given.tls), state=given.state,
            etags=not given.no_etags, deploying=given.deploying,
        )  # fmt: skip
    except OSError as error:
        parser.error(f"Port {given.port} cannot be listened on: {error.strerror}.")
    print(f"A Sesam node answers at {node.url}", flush=True)
    stop.wait()
    node.stop()


if __name__ == "__main__":
    main()
