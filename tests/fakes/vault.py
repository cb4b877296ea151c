"""A HashiCorp Vault: KV 1 and 2, log-ins by token, GitHub and AppRole, policies, sealing, over real HTTP."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

from tests.fakes.wire import Answer, WireServer


def _answer(status: int, value: Any = None) -> Answer:
    return Answer(status, b"" if value is None else json.dumps(value).encode())


def _errors(status: int, *words: str) -> Answer:
    return _answer(status, {"errors": list(words)})


@dataclass
class Mount:
    """A KV engine. `kept` is by path; a path in `removed` is soft-deleted (KV 2)."""

    version: int
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)


class FakeVault(WireServer):
    """`mounts` by path; `tokens` that are let in; `denied`: patterns of “METHOD path” that no policy allows.

    `put(name, value, mount=…)` stores a map of one value. `revoked` has the tokens that were given back.
    """

    def __init__(self, tls: tuple[str, str] | None = None) -> None:
        self.mounts = {"sesam/kv2": Mount(2), "kv1": Mount(1)}
        self.tokens = {"root-token"}
        self.github_token = "github-token"
        self.github_mount = "github"
        self.approle = ("role", "secret-id")
        self.approle_mount = "approle"
        self.namespace = ""
        self.sealed = False
        self.denied: list[str] = []
        self.revoked: list[str] = []
        super().__init__(tls=tls)

    @property
    def url(self) -> str:
        return self.address

    def put(self, name: str, value: Any, mount: str = "sesam/kv2", key: str = "value") -> None:
        self.mounts[mount].kept[name] = {key: value}

    @property
    def values_read(self) -> list[str]:
        """The paths whose values were asked for."""
        return [
            path
            for method, path in self.requests
            if method == "GET" and ("/data/" in path or path.startswith("/v1/kv1/"))
        ]

    def answer_of(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        path = unquote(path).removeprefix("/v1/").rstrip("/")
        if self.sealed:
            return _errors(503, "Vault is sealed")
        if headers.get("x-vault-namespace", "") != self.namespace:
            return _errors(403, "permission denied")
        if path.startswith("auth/") and path.endswith("/login"):
            return self._login(path.removeprefix("auth/").removesuffix("/login"), json.loads(body))
        token = headers.get("x-vault-token", "")
        if token not in self.tokens or any(fnmatchcase(f"{method} {path}", one) for one in self.denied):
            return _errors(403, "1 error occurred:\n\t* permission denied\n\n")
        if path == "auth/token/revoke-self":
            self.tokens.discard(token)
            self.revoked.append(token)
            return _answer(204)
        for name in sorted(self.mounts, key=len, reverse=True):
            if path == name or path.startswith(f"{name}/"):
                return self._kv(self.mounts[name], method, path[len(name) + 1 :])
        return _errors(404, f"no handler for route {path}")

    def _login(self, mount: str, given: dict[str, str]) -> Answer:
        if mount == self.github_mount and "token" in given:
            right = given["token"] == self.github_token
        elif mount == self.approle_mount and "role_id" in given:
            right = (given["role_id"], given["secret_id"]) == self.approle
        else:
            return _errors(404, "unsupported path")
        if not right:
            # As some versions do: what was sent comes back.
            return _errors(400, f"invalid role or secret ID: {given.get('token') or given.get('secret_id')}")
        token = f"hvs.{secrets.token_hex(8)}"
        self.tokens.add(token)
        return _answer(200, {"auth": {"client_token": token, "lease_duration": 3600}})

    def _kv(self, mount: Mount, method: str, path: str) -> Answer:
        if mount.version == 1:
            return self._list(mount, path) if method == "LIST" else self._one(mount, path)
        area, _, path = path.partition("/")
        if area == "metadata":
            return self._list(mount, path) if method == "LIST" else self._metadata(mount, path)
        return self._versioned(mount, path) if area == "data" else _errors(404)

    def _one(self, mount: Mount, path: str) -> Answer:
        return _answer(200, {"data": mount.kept[path]}) if path in mount.kept else _errors(404)

    def _versioned(self, mount: Mount, path: str) -> Answer:
        if path not in mount.kept:
            return _errors(404)
        if path in mount.removed:
            deleted = {"data": None, "metadata": {"deletion_time": "2026-01-01T00:00:00Z", "destroyed": False}}
            return _answer(404, {"data": deleted})
        return _answer(200, {"data": {"data": mount.kept[path], "metadata": {"version": 1}}})

    def _metadata(self, mount: Mount, path: str) -> Answer:
        if path not in mount.kept:
            return _errors(404)
        deleted = "2026-01-01T00:00:00Z" if path in mount.removed else ""
        versions = {"1": {"deletion_time": deleted, "destroyed": False}}
        return _answer(200, {"data": {"current_version": 1, "versions": versions}})

    def _list(self, mount: Mount, path: str) -> Answer:
        folder = f"{path}/" if path else ""
        below = [one[len(folder) :] for one in mount.kept if one.startswith(folder)]
        keys = sorted({one.split("/")[0] + ("/" if "/" in one else "") for one in below})
        return _answer(200, {"data": {"keys": keys}}) if keys else _errors(404)
