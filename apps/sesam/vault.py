"""The door to secret stores: HashiCorp Vault through hvac, and the panel's own encrypted secrets.

Values live in the memory of whoever asked for them. What hvac would take from the machine (a token in the environment
or in a home directory, proxies for plain http, a `.netrc`) is kept out: a store is what its row says.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import hvac
from hvac import exceptions

from apps.access.errors import DecryptionError, InputError
from apps.sesam.client_wire import POOLS, Watch, distrust, reason, tls_context
from apps.sesam.errors import StoreError
from apps.sesam.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from apps.sesam.models import SecretStore

PATIENCE = Patience(connect=3.0, read=10.0, total=15.0, tries=3, limit=60.0, first=0.3)  # `limit`: all of one question


class StoreReader(Protocol):
    """An open store."""

    def present(self, names: Collection[str]) -> frozenset[str]:
        """Those of the names that the store has, without their values where the store can tell so."""

    def values(self, names: Collection[str]) -> dict[str, str]:
        """The value of each name. Raises StoreError with every name that is missing, or holds no text."""


@contextlib.contextmanager
def store_opened(store: SecretStore, patience: Patience = PATIENCE) -> Iterator[StoreReader]:
    """Logged in once, until the end of the block. Raises StoreError."""
    if store.kind == store.Kind.PANEL:
        yield _PanelReader(store)
        return
    reader = _VaultReader(store, patience)
    try:
        reader.log_in()
        yield reader
    finally:
        reader.close()


class _PanelReader:
    """The panel's own secrets."""

    def __init__(self, store: SecretStore) -> None:
        self._store = store

    def present(self, names: Collection[str]) -> frozenset[str]:
        return frozenset(names) & frozenset(self._store.secrets.values_list("name", flat=True))

    def values(self, names: Collection[str]) -> dict[str, str]:
        wanted = set(names)
        rows = [row for row in self._store.secrets.all() if row.name in wanted]
        try:
            found = {row.name: row.value for row in rows}
        except DecryptionError as error:
            raise StoreError(f"Secret store {self._store.name}: {error}") from None
        wrong = dict.fromkeys(wanted - found.keys(), "is not there")
        _all_right(self._store.name, wrong | {name: "is empty" for name, value in found.items() if not value})
        return found


class _VaultReader:
    """One Vault, with one log-in."""

    def __init__(self, store: SecretStore, patience: Patience) -> None:
        self._store = store
        self._patience = patience
        self._name = f"Secret store {store.name} ({store.url})"
        self._hidden: tuple[str, ...] = ()
        try:
            context = tls_context(store.ca_bundle.strip(), True)
            self._hidden = (store.token, store.secret_id)
        except (InputError, DecryptionError) as error:
            raise StoreError(f"{self._name}: {error}") from None
        self._client = hvac.Client(
            url=store.url.rstrip("/"),
            token="",  # None would be the one of the machine
            verify=True,
            timeout=(patience.connect, patience.read),
            proxies=_proxies(store.url),
            allow_redirects=False,  # the token would go along
            namespace=store.namespace or None,
        )
        _furnish(self._client.adapter.session, context)

    # Being let in and out

    def log_in(self) -> None:
        store, auth = self._store, self._client.auth
        mount = store.auth_mount.strip("/")
        if store.auth == store.Auth.TOKEN:
            self._client.token = store.token
        elif store.auth == store.Auth.GITHUB:
            self._said(lambda: auth.github.login(token=store.token, mount_point=mount or "github"), "logging in")
        else:
            self._said(
                lambda: auth.approle.login(
                    role_id=store.role_id, secret_id=store.secret_id, mount_point=mount or "approle"
                ),
                "logging in",
            )
        if not self._client.token:
            raise StoreError(f"{self._name} gave no token when logging in.")
        self._hidden += (self._client.token,)

    def close(self) -> None:
        """Give back what a log-in got; a token that was entered stays good."""
        if self._store.auth != self._store.Auth.TOKEN and self._client.token:
            watch = Watch(self._patience.connect)
            with contextlib.suppress(exceptions.VaultError, OSError, ValueError), watch.running():
                self._client.auth.token.revoke_self()
        self._client.adapter.session.close()

    # Reading

    def present(self, names: Collection[str]) -> frozenset[str]:
        fit = sorted(name for name in set(names) if _fits(name))
        began = time.monotonic()
        there = self._listed(fit) if self._store.kv_version == 1 else self._described(fit, began)
        return self._readable(fit, began) if there is None else frozenset(there)

    def _listed(self, names: list[str]) -> list[str] | None:
        """KV 1: by the lists of the folders; None where the token may not list."""
        kv, mount = self._client.secrets.kv.v1, self._store.mount.strip("/")
        held: dict[str, frozenset[str]] = {}
        for folder in sorted({self._path(name).rpartition("/")[0] for name in names}):
            ask = lambda folder=folder: kv.list_secrets(folder, mount_point=mount)  # noqa: E731 - for one call
            try:
                said = self._said(ask, f"listing {folder or mount}")
            except _NotAllowed:
                return None
            held[folder] = frozenset(said["data"]["keys"]) if said else frozenset()
        split = {name: self._path(name).rpartition("/") for name in names}
        return [name for name, (folder, _, key) in split.items() if key in held[folder]]

    def _described(self, names: list[str], began: float) -> list[str] | None:
        """KV 2: by what is known of each without its value; None where the token may not know."""
        kv, mount = self._client.secrets.kv.v2, self._store.mount.strip("/")
        found = []
        for name in names:
            self._in_time(began)
            ask = lambda name=name: kv.read_secret_metadata(self._path(name), mount_point=mount)  # noqa: E731
            try:
                said = self._said(ask, f"looking for {name}")
            except _NotAllowed:
                return None
            if said and _is_alive(said["data"]):
                found.append(name)
        return found

    def _readable(self, names: list[str], began: float) -> frozenset[str]:
        return frozenset(name for name in names if self._map(name, began) is not None)

    def values(self, names: Collection[str]) -> dict[str, str]:
        began = time.monotonic()
        found, wrong = {}, {}
        for name in sorted(set(names)):
            held = self._map(name, began) if _fits(name) else None
            value = _chosen(held, self._store.field)
            if isinstance(value, str) and value:
                found[name] = value
            else:
                wrong[name] = _complaint(held, value, self._store.field)
        _all_right(self._store.name, wrong)
        return found

    def _map(self, name: str, began: float) -> dict[str, Any] | None:
        """What is stored under a name; None when there is nothing."""
        self._in_time(began)
        kv, mount, path = self._client.secrets.kv, self._store.mount.strip("/"), self._path(name)
        doing = f"reading {name}"
        if self._store.kv_version == 1:
            said = self._said(lambda: kv.v1.read_secret(path, mount_point=mount), doing)
            held = said and said["data"]
        else:
            said = self._said(
                lambda: kv.v2.read_secret_version(path, mount_point=mount, raise_on_deleted_version=True), doing
            )
            held = said and said["data"]["data"]
        return held if isinstance(held, dict) else None

    def _path(self, name: str) -> str:
        return f"{self._store.path_prefix}{name}".lstrip("/")

    # Asking

    def _in_time(self, began: float) -> None:
        if time.monotonic() - began > self._patience.limit:
            raise StoreError(f"{self._name} took longer than {self._patience.limit:.3g} s for all that was asked.")

    def _said(self, ask: Callable[[], Any], doing: str) -> dict[str, Any] | None:
        """An answer; None where there is nothing. Asks again where that can help. Raises StoreError."""
        began, tried = time.monotonic(), 0
        while True:
            tried += 1
            try:
                return self._once(ask, doing)
            except _Again as again:
                wait = self._patience.pause(tried, time.monotonic() - began)
                if wait is None:
                    raise StoreError(str(again)) from None
            time.sleep(wait)

    def _once(self, ask: Callable[[], Any], doing: str) -> dict[str, Any] | None:
        watch = Watch(self._patience.total)
        try:
            with watch.running():
                said = ask()
        except exceptions.InvalidPath:
            return None
        except exceptions.VaultError as error:
            raise self._refusal(error, doing) from None
        except OSError as error:
            if why := distrust(error):
                raise StoreError(f"{self._name} cannot be trusted: {why}. Enter its CA bundle.") from None
            why = f"it took longer than {watch.seconds:.3g} s" if watch.expired else reason(error)
            raise _Again(f"{self._name} did not answer while {doing}: {why}.") from None
        if watch.expired:  # half an answer may look like another one
            raise _Again(f"{self._name} did not answer while {doing}: it took longer than {watch.seconds:.3g} s.")
        if not isinstance(said, dict) or not isinstance(said.get("data", {}), dict | None):
            raise StoreError(f"{self._name} did not answer as a Vault does while {doing}. Is its URL right?")
        return said

    def _refusal(self, error: exceptions.VaultError, doing: str) -> StoreError:
        words = self._masked(", ".join(map(str, error.errors or ())))
        what = f"{self._name} refused while {doing}" + (f": {words}" if words else "")
        if isinstance(error, exceptions.VaultDown):
            return StoreError(f"{self._name} is sealed or down (503): {words or 'it did not say why'}.")
        if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized):
            return _NotAllowed(f"{what}. Is the log-in right, and do its policies allow it to read there?")
        if isinstance(error, exceptions.InvalidRequest):
            return StoreError(f"{what}. Is the log-in right?")
        return _Again(f"{what or self._name}. Look at Vault's own log.")

    def _masked(self, text: str) -> str:
        for hidden in filter(None, self._hidden):
            text = text.replace(hidden, "•••")
        return " ".join(text.split())[:300]


class _Again(StoreError):
    """It may go better next time."""


class _NotAllowed(StoreError):
    """The log-in's policies do not allow this question; another may do."""


def _furnish(session: Any, context: Any) -> None:
    """hvac's own session with the panel's connections, trust, and nothing from the machine."""
    session.trust_env = False
    session.get_redirect_target = lambda _: None  # not followed; nor is its address believed and all of it read
    adapter = session.get_adapter("https://")
    adapter.poolmanager.connection_pool_kw["ssl_context"] = context
    adapter.cert_verify = lambda *_, **__: None  # it would add another bundle of authorities
    for scheme in POOLS:
        session.mount(f"{scheme}://", adapter)
    adapter.poolmanager.pool_classes_by_scheme = POOLS


def _proxies(url: str) -> dict[str, str]:
    """As for nodes: for https alone, where a proxy sees no more than a name."""
    parts = urlsplit(url)
    if parts.scheme != "https" or proxy_bypass(parts.hostname or ""):
        return {}
    return {scheme: proxy for scheme, proxy in getproxies().items() if scheme == "https"}


def _fits(name: str) -> bool:
    """Whether a name stays below the store's prefix: addresses with “..” are shortened on their way."""
    return bool(name) and not {"", ".", ".."} & set(name.split("/"))


def _is_alive(metadata: dict[str, Any]) -> bool:
    """Whether a secret's newest version still has a value: KV 2 lists the removed ones as well."""
    versions: dict[str, dict[str, Any]] = metadata.get("versions") or {}
    newest = versions.get(str(metadata.get("current_version")))
    return newest is not None and not newest.get("deletion_time") and not newest.get("destroyed")


def _chosen(held: dict[str, Any] | None, field: str) -> Any:
    if not held:
        return None
    return held.get(field) if field else next(iter(held.values()))


def _complaint(held: dict[str, Any] | None, value: Any, field: str) -> str:
    if held is None:
        return "is not there"
    if value is None:
        return f"has no field {field}" if field else "holds nothing"
    return "is empty" if value == "" else "is no text"


def _all_right(store: str, wrong: dict[str, str]) -> None:
    if wrong:
        told = "; ".join(f"{name} {what}" for name, what in sorted(wrong.items()))
        raise StoreError(f"Secret store {store}: {told}.")
