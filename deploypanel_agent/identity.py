"""Who this agent is: got once by a code, kept in a file that only its owner reads."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import platform
import socket
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deploypanel_agent import __version__
from deploypanel_agent.disk import read_json, write_json
from deploypanel_agent.errors import AgentError, ConfigError
from deploypanel_agent.held import Holdings
from deploypanel_agent.signature import is_key
from deploypanel_agent.web import Web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Identity:
    url: str
    name: str
    key: str
    public_key: dict[str, Any]  # the panel's, pinned: build scripts from it are signed with the other half


def machine() -> dict[str, str]:
    """What an agent tells of its machine."""
    return {
        "hostname": socket.gethostname()[:120],
        "version": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}"[:200],
    }


def identity_read(state: Path) -> Identity | None:
    """Who this agent is; None before it has enrolled. Raises ConfigError when the file cannot be read or used."""
    path = state / "identity.json"
    try:
        exists = path.exists()
        data = read_json(path) if exists and os.access(path, os.R_OK) else None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Is this the user that enrolled?") from None
    if not exists:
        return None
    try:
        found = Identity(**(data or {}))
    except TypeError:
        raise ConfigError(f"{path} cannot be read; run as the user that enrolled, or enrol again.") from None
    return found


def enrol(state: Path, url: str, code: str, *, ca: str = "", insecure: bool = False, again: bool = False) -> Identity:
    """Trade a code for a key of this agent's own. Raises AgentError."""
    check_scheme(url, insecure=insecure)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with only_process(state):
        if identity_read(state) is not None and not again:
            raise AgentError(f"This agent is enrolled already ({state}). Use --again to make it another one.")
        if again and any(not held.ended for held in Holdings(state).load()):
            raise AgentError("A run is at work here; enrol again when it has ended.")
        found = _asked(Web(url, ca=ca), code)
        Holdings(state).clear()
        write_json(state / "identity.json", asdict(found))
    return found


def _asked(web: Web, code: str) -> Identity:
    told = machine()
    body = {"code": code, **{name: told[name] for name in ("hostname", "version", "system")}}
    data = web.ask("/agent/enrol", body).data
    if not isinstance(data, dict) or not is_key(data.get("public_key")) or not data.get("key"):
        raise AgentError(f"{web.url} does not answer as a Deploypanel; is the address right?")
    return Identity(web.url, str(data.get("name")), str(data["key"]), dict(data["public_key"]))


def check_scheme(url: str, *, insecure: bool) -> None:
    """Keys go over TLS, or stay on this machine. Raises ConfigError."""
    if url.lower().startswith("https://") or insecure or _is_loopback(url):
        return
    raise ConfigError(
        f"{url} is not encrypted: anyone on the way could read this agent's key. Use https://, or, in a network"
        " that you trust, --insecure-http or DEPLOYPANEL_AGENT_INSECURE_HTTP=1."
    )


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def only_process(state: Path) -> Iterator[None]:
    """Nobody else works in this folder meanwhile. Raises AgentError when somebody does."""
    handle = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise AgentError(f"Another deploypanel-agent works in {state}; stop it first.") from None
    try:
        yield
    finally:
        os.close(handle)
