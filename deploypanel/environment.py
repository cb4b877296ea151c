"""What the process environment says: typed, with secrets also from files.

Every setting of the panel is read through this module, so that a wrong value is
one clear line that names the variable, and so that `NAME_FILE` works for each secret.
"""

from __future__ import annotations

import os
import secrets
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def integer(name: str, default: int, *, least: int = 0) -> int:
    """A whole number of at least `least`; raises ImproperlyConfigured otherwise."""
    raw = os.environ.get(name, "")
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={raw!r}: a whole number is needed.") from None
    if value < least:
        raise ImproperlyConfigured(f"{name}={raw!r}: at least {least} is needed.")
    return value


def boolean(name: str, default: bool) -> bool:
    raw = os.environ.get(name, "")
    if not raw:
        return default
    if raw.lower() in {"1", "true", "yes", "on"}:
        return True
    if raw.lower() in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name}={raw!r}: use 1 or 0.")


def listing(name: str, default: list[str]) -> list[str]:
    raw = os.environ.get(name)
    if raw is None:
        return default
    return [part.strip() for part in raw.split(",") if part.strip()]


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Addresses and networks, separated by commas; raises ImproperlyConfigured for what is none."""
    found = []
    for part in listing(name, []):
        try:
            found.append(ip_network(part, strict=False))
        except ValueError:
            raise ImproperlyConfigured(f"{name}: {part!r} is no address and no network (10.0.0.0/8).") from None
    return found


def secret(name: str) -> str:
    """The secret in `NAME`, or in the file that `NAME_FILE` names; empty when neither is set."""
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return os.environ.get(name, "")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE={path}: cannot be read ({error.strerror}).") from None


def kept_secret(name: str, path: Path, make: Any = None) -> str:
    """The secret from the environment, or the one kept in `path`, which is made on first use."""
    given = secret(name)
    if given:
        return given
    make = make or (lambda: secrets.token_urlsafe(48))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(make() + "\n")
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{path}: {error.strerror}. Set {name} or give the panel a data folder it can write (DEPLOYPANEL_DATA)."
        ) from None


SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA busy_timeout=20000;PRAGMA foreign_keys=ON;"
    "PRAGMA journal_size_limit=67108864;PRAGMA mmap_size=134217728;PRAGMA cache_size=-20000;"
)


def database(url: str, data: Path, *, web: bool) -> dict[str, Any]:
    """Django's database dictionary for `sqlite:///PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME`.

    A web process never keeps a connection (persistent ones leak under ASGI) but pools them on
    PostgreSQL; every other process keeps one and never pools (a pool does not survive a fork).
    """
    parts = urlsplit(url or f"sqlite:///{data / 'deploypanel.sqlite3'}")
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": unquote(parts.path[1:] if parts.path.startswith("//") else parts.path),
            "CONN_MAX_AGE": 0 if web else 600,
            "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": SQLITE_PRAGMAS},
        }
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(
            f"DEPLOYPANEL_DATABASE_URL: unknown kind {parts.scheme!r}; use sqlite:/// or postgres://."
        )
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    if web:
        options["pool"] = {"min_size": 1, "max_size": 16}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or "") or secret("DEPLOYPANEL_DATABASE_PASSWORD"),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 0 if web else 600,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }
