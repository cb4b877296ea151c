"""Where a repository lives: the forms of a Git URL that the panel takes, read and compared."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from apps.access.errors import InputError

DEFAULT_PORTS = {"ssh": 22, "https": 443}
FORMS = "Use ssh://, https://, file:// or git@host:path."

_HOST = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?|\[[0-9A-Fa-f:.]+\]"
_SCP = re.compile(rf"\A(?:(?P<user>[A-Za-z0-9._][A-Za-z0-9._-]*)@)?(?P<host>{_HOST}):(?P<path>[^/:-].*|/.*)\Z")
_HOST_ONLY = re.compile(rf"\A(?:{_HOST})\Z")
_USER = re.compile(r"\A[A-Za-z0-9._][A-Za-z0-9._@+-]*\Z")


@dataclass(frozen=True, kw_only=True)
class Remote:
    """The parts of a URL. `path` is as the server gets it; `port` is 0 for the usual one."""

    url: str
    scheme: str  # ssh, https or file
    path: str
    host: str = ""
    user: str = ""
    port: int = 0

    @property
    def identity(self) -> str:
        """The same for every URL of one repository on one server: `host/owner/name`, in small letters."""
        path = re.sub(r"(\.git)?/*\Z", "", self.path).strip("/")
        return f"{self.host}/{path}".lower() if self.host else f"/{path}"

    @property
    def full_name(self) -> str:
        """What forges call it: `owner/name`, with groups in between where it has them."""
        return self.identity.split("/", 1)[1]

    @property
    def is_ssh(self) -> bool:
        return self.scheme == "ssh"


def remote_parse(url: str) -> Remote:
    """Read a Git URL; raises InputError that says why one is refused."""
    if not url:
        raise InputError(f"A URL is needed. {FORMS}")
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        raise InputError("A URL has no blanks, line breaks or control characters. Write a blank as %20.")
    if url.startswith("-"):
        raise InputError("A URL cannot begin with a hyphen: Git would take it for an option.")
    scheme, separator, _rest = url.partition("://")
    if separator:
        return _with_scheme(url, scheme.lower())
    if "::" in url and not url.partition("::")[0].endswith("["):
        raise InputError(f"“{url.partition('::')[0]}::” is a helper that runs a program here; it is refused. {FORMS}")
    return _scp_like(url)


def _scp_like(url: str) -> Remote:
    match = _SCP.match(url)
    if match is None:
        advice = f"For a folder on this machine write file://{url}." if url.startswith("/") else FORMS
        raise InputError(f"{url!r} is no URL that the panel takes. {advice}")
    return Remote(
        url=url, scheme="ssh", host=match["host"].strip("[]").lower(), user=match["user"] or "", path=match["path"]
    )


def _with_scheme(url: str, scheme: str) -> Remote:
    if scheme not in {"ssh", "https", "file"}:
        why = {
            "http": "http:// sends code and tokens in the clear; use https://.",
            "git": "git:// has neither encryption nor log-in; use https:// or ssh://.",
            "git+ssh": "Write ssh:// instead of git+ssh://.",
        }
        raise InputError(why.get(scheme, f"“{scheme}://” is not taken. {FORMS}"))
    try:
        parts = urlsplit(url)
        port = parts.port or 0
    except ValueError as error:
        raise InputError(f"{url!r} cannot be read: {error}.") from None
    if parts.password is not None:
        raise InputError("No password or token in the URL: it would be shown. Put it into the token field.")
    if parts.query or parts.fragment:
        raise InputError("A Git URL has no “?” or “#”. Write them as %3F and %23 where they belong to a name.")
    host, user, path = (parts.hostname or "").lower(), unquote(parts.username or ""), unquote(parts.path)
    if scheme == "file":
        return _local(url, host, path)
    _check_server(scheme, host, user, path)
    return Remote(
        url=url,
        scheme=scheme,
        host=host,
        user=user,
        path=path,
        port=0 if port == DEFAULT_PORTS[scheme] else port,
    )


def _local(url: str, host: str, path: str) -> Remote:
    if host not in {"", "localhost"}:
        raise InputError(f"file:// reaches this machine only, not {host!r}. Write file:///path, or use ssh://.")
    if not path.startswith("/") or path == "/":
        raise InputError("file:// needs an absolute path: file:///srv/git/shop.git.")
    return Remote(url=url, scheme="file", path=path)


def _check_server(scheme: str, host: str, user: str, path: str) -> None:
    if not host or not (_HOST_ONLY.match(host) or ":" in host):
        raise InputError(f"The URL names no server that could exist: {host!r}.")
    if path in {"", "/"}:
        raise InputError("The URL names a server but no repository on it.")
    if any(ord(letter) < 32 for letter in path):
        raise InputError("The path holds control characters.")
    if user and scheme == "https":
        raise InputError("No user in an https URL. Put it into the user and token fields.")
    if user and not _USER.match(user):
        raise InputError(f"{user!r} is no user name that the panel takes.")


def remote_identity(url: str) -> str:
    """The identity of any URL a forge may send, empty when it is none (http and user names are fine here)."""
    candidate = re.sub(r"\Ahttp://", "https://", url.strip(), flags=re.IGNORECASE)
    candidate = re.sub(r"\A(https://)[^/@]*@", r"\1", candidate, flags=re.IGNORECASE)
    try:
        return remote_parse(candidate).identity
    except InputError:
        return ""
