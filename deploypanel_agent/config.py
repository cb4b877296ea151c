"""Settings: from a YAML file, overridden by the environment. The names of Prostagma's client are understood too.

state: /var/lib/deploypanel-agent     DEPLOYPANEL_AGENT_STATE
scripts: {web: /etc/…/web.yaml}       DEPLOYPANEL_AGENT_SCRIPTS=web=/etc/…/web.yaml,api=…
shell: /bin/sh                        DEPLOYPANEL_AGENT_SHELL, PROSTAGMA_SHELL
ca: /etc/ssl/own.pem                  DEPLOYPANEL_AGENT_CA
transport: auto                       DEPLOYPANEL_AGENT_TRANSPORT (auto, websocket, poll)
accept_scripts: true                  DEPLOYPANEL_AGENT_ACCEPT_SCRIPTS
log_limit: 16777216                   DEPLOYPANEL_AGENT_LOG_LIMIT (bytes of a run's log)
metrics: 127.0.0.1:7000               DEPLOYPANEL_AGENT_METRICS, PROSTAGMA_PROM_PORT
url: https://panel.example            DEPLOYPANEL_URL, PROSTAGMA_HOST (only before enrolment, and for old servers)
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploypanel_agent.errors import ConfigError
from deploypanel_agent.yaml_places import ScriptError, document, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_FILE = "/etc/deploypanel-agent.yaml"
TRANSPORTS = ("auto", "websocket", "poll")
SMALLEST_LOG = 64 * 1024
LARGEST_LOG = 1024 * 1024 * 1024
VARIABLES = {
    "url": ("DEPLOYPANEL_URL", "PROSTAGMA_HOST"),
    "state": ("DEPLOYPANEL_AGENT_STATE",),
    "scripts": ("DEPLOYPANEL_AGENT_SCRIPTS",),
    "shell": ("DEPLOYPANEL_AGENT_SHELL", "PROSTAGMA_SHELL"),
    "ca": ("DEPLOYPANEL_AGENT_CA",),
    "transport": ("DEPLOYPANEL_AGENT_TRANSPORT",),
    "accept_scripts": ("DEPLOYPANEL_AGENT_ACCEPT_SCRIPTS",),
    "log_limit": ("DEPLOYPANEL_AGENT_LOG_LIMIT",),
    "poll": ("DEPLOYPANEL_AGENT_POLL",),
    "metrics": ("DEPLOYPANEL_AGENT_METRICS", "PROSTAGMA_PROM_PORT"),
}


@dataclass(frozen=True)
class OldServer:
    """A Prostagma server, or the panel by its old protocol."""

    url: str
    secret: str
    trigger: str
    script: str


@dataclass(frozen=True)
class Config:
    state: Path
    url: str = ""
    scripts: Mapping[str, str] = field(default_factory=dict)  # trigger → file
    shell: str = "/bin/sh"
    ca: str = ""
    transport: str = "auto"
    accept_scripts: bool = True  # those that the panel holds and signs
    log_limit: int = 16 * 1024 * 1024
    poll: float = 5.0  # seconds
    metrics: tuple[str, int] | None = None
    code: str = ""  # an enrolment code, for machines that are set up by their environment
    old: OldServer | None = None


def config_read(env: Mapping[str, str], file: str = "") -> Config:
    """The settings. `file` empty: DEPLOYPANEL_AGENT_CONFIG, or the usual place if there is one. Raises ConfigError."""
    named = file or env.get("DEPLOYPANEL_AGENT_CONFIG", "")
    given = _from_file(Path(named or DEFAULT_FILE), must=bool(named))
    places = {name: f"{named or DEFAULT_FILE}: {name}" for name in given}
    for name, variables in VARIABLES.items():
        for variable in variables:
            if env.get(variable):
                given[name], places[name] = env[variable], variable
                break
    values = {name: _READERS[name](value, places[name]) for name, value in given.items()}
    values.setdefault("state", default_state())
    old = _old_server(env)
    if old is not None:
        values["scripts"] = {old.trigger: old.script, **values.get("scripts", {})}
    return Config(**values, code=env.get("DEPLOYPANEL_AGENT_CODE", ""), old=old)


def default_state() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/deploypanel-agent")
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "deploypanel-agent"


def _from_file(path: Path, *, must: bool) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if must:
            raise ConfigError(f"There is no file {path}.") from None
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    try:
        node = document(text)
        data = {} if node is None else plain(node)
    except ScriptError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must be a mapping of settings, such as “scripts: {{web: /etc/web.yaml}}”.")
    for name in data:
        if name not in VARIABLES:
            raise ConfigError(f"{path}: “{name}” is no setting; there are {', '.join(VARIABLES)}.")
    return {name: value for name, value in data.items() if value is not None}


def _old_server(env: Mapping[str, str]) -> OldServer | None:
    """What PROSTAGMA_* tell; None without a trigger or a script. Whether it is used depends on the enrolment."""
    trigger, script = env.get("PROSTAGMA_TRIGGER", ""), env.get("PROSTAGMA_SCRIPT", "")
    if bool(trigger) != bool(script):
        raise ConfigError("PROSTAGMA_TRIGGER and PROSTAGMA_SCRIPT belong together: set both or none.")
    if not trigger:
        return None
    url = env.get("PROSTAGMA_HOST", "")
    if url:
        url = address_checked(url, "PROSTAGMA_HOST")
    return OldServer(url, env.get("PROSTAGMA_SECRET", ""), trigger, script)


def address_checked(value: Any, place: str) -> str:
    """An address of a panel. Raises ConfigError, which names the place."""
    text = _text(value, place).rstrip("/")
    scheme, _, rest = text.partition("://")
    if scheme.lower() not in ("http", "https") or not rest or "@" in rest or "?" in rest or "#" in rest:
        raise ConfigError(f"{place}: an address is https://host or https://host/path, not “{text[:100]}”.")
    return text


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ConfigError(f"{place}: a text is needed.")
    return value


def _state(value: Any, place: str) -> Path:
    path = Path(_text(value, place)).expanduser()
    if not path.is_absolute():
        raise ConfigError(f"{place}: give the folder's whole path, from /.")
    return path


def _scripts(value: Any, place: str) -> dict[str, str]:
    if isinstance(value, str):
        parts = [part.strip().partition("=") for part in value.split(",") if part.strip()]
        value = {name.strip(): path.strip() for name, _, path in parts}
    if not isinstance(value, dict):
        raise ConfigError(f"{place}: a mapping of triggers to files is needed, such as web: /etc/web.yaml.")
    return {_text(name, place): _text(path, f"{place}: {name}") for name, path in value.items()}


def _shell(value: Any, place: str) -> str:
    shell = _text(value, place)
    if not os.access(shell, os.X_OK) or not Path(shell).is_absolute():
        raise ConfigError(f"{place}: {shell} is no program; give its whole path, such as /bin/sh.")
    return shell


def _transport(value: Any, place: str) -> str:
    if value not in TRANSPORTS:
        raise ConfigError(f"{place}: use one of {', '.join(TRANSPORTS)}.")
    return str(value)


def _flag(value: Any, place: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    found = words.get(str(value).lower())
    if found is None:
        raise ConfigError(f"{place}: use true or false.")
    return found


def _log_limit(value: Any, place: str) -> int:
    text = str(value)
    if not (text.isascii() and text.isdecimal() and len(text) < 16 and SMALLEST_LOG <= int(text) <= LARGEST_LOG):
        raise ConfigError(f"{place}: a number of bytes from {SMALLEST_LOG} to {LARGEST_LOG} is needed.")
    return int(text)


def _poll(value: Any, place: str) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = 0.0
    if not 0.2 <= seconds <= 3600:
        raise ConfigError(f"{place}: a number of seconds from 0.2 to 3600 is needed.")
    return seconds


def _metrics(value: Any, place: str) -> tuple[str, int]:
    """`7000`, `127.0.0.1:7000` or `[::1]:7000`. Without a host: loopback only."""
    host, colon, port = str(value).rpartition(":")
    if not (port.isascii() and port.isdecimal() and len(port) < 6 and int(port) < 65536):
        raise ConfigError(f"{place}: a port or host:port is needed, such as 127.0.0.1:7000.")
    return (host.strip("[]") if colon else "") or "127.0.0.1", int(port)


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "url": address_checked,
    "state": _state,
    "scripts": _scripts,
    "shell": _shell,
    "ca": _text,
    "transport": _transport,
    "accept_scripts": _flag,
    "log_limit": _log_limit,
    "poll": _poll,
    "metrics": _metrics,
}
