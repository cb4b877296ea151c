"""What the forges' push webhooks say: read into one form, whoever sent it.

Nothing here trusts what it reads: each text is checked for length and kind, each commit for its form.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from apps.repos.remote import remote_identity
from apps.triggers.errors import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

ZERO = re.compile(r"\A0{40}(?:0{24})?\Z")
COMMIT = re.compile(r"\A(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
REF_LENGTH = 255
CHANGES_MOST = 100  # of one call; Bitbucket sends several at once
SECRET_NAME = re.compile(r"(?i)secret|token|password|passwd|authorization|api_?key|private_?key")
MASK = "•••"

PUSHES = {
    "github": {"push"},
    "gitlab": {"Push Hook", "Tag Push Hook", "System Hook"},
    "gitea": {"push", "delete"},
    "bitbucket": {"repo:push", "repo:refs_changed"},
    "git": {"push"},
}
URL_FIELDS = (
    "clone_url",
    "ssh_url",
    "git_url",
    "html_url",
    "url",
    "git_http_url",
    "git_ssh_url",
    "http_url",
    "homepage",
)
NAME_FIELDS = ("full_name", "path_with_namespace")
URL_LENGTH = 500
PINGS = {"ping", "diagnostics:ping"}


@dataclass(frozen=True, kw_only=True)
class PushEvent:
    """One ref that moved. `before` is empty for a new ref, `after` for a deleted one."""

    ref: str  # in full: refs/heads/feature/x
    before: str
    after: str
    forced: bool = False
    pusher: str = ""

    @property
    def kind(self) -> str:
        """`branch`, `tag` or `other` (notes, pull requests)."""
        heads = {"refs/heads/": "branch", "refs/tags/": "tag"}
        return next((kind for head, kind in heads.items() if self.ref.startswith(head)), "other")

    @property
    def name(self) -> str:
        """The branch's or tag's own name, slashes and all."""
        return self.ref.split("/", 2)[2] if self.kind != "other" else self.ref

    @property
    def deleted(self) -> bool:
        return not self.after

    @property
    def first(self) -> bool:
        return not self.before

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Names:
    """What a payload calls its repository. `identities` as remote.Remote has them, `names` such as `owner/shop`."""

    identities: frozenset[str]
    names: frozenset[str]


def payload_of(body: bytes, content_type: str) -> dict[str, Any]:
    """The JSON object in a body, also from the form that GitHub can send; raises Unreadable."""
    text = body
    if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        text = _form_payload(body)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise Unreadable("The body is JSON, but no object.")
    return found


def _form_payload(body: bytes) -> bytes:
    try:
        fields = dict(parse_qsl(body.decode("utf-8"), max_num_fields=20))
    except ValueError:
        raise Unreadable("The form cannot be read.") from None
    if "payload" not in fields:
        raise Unreadable("The form has no field “payload”.")
    return fields["payload"].encode()


def names_of(payload: dict[str, Any]) -> Names:
    """Every URL and name that a payload gives its repository."""
    repository = payload.get("repository")
    urls = [repository] if isinstance(repository, str) else []
    names = list(urls)
    for part in (repository, payload.get("project")):
        if isinstance(part, dict):
            urls += [part[key] for key in URL_FIELDS if isinstance(part.get(key), str)] + _links(part)
            names += [part[key] for key in NAME_FIELDS if isinstance(part.get(key), str)] + _server_name(part)
    identities = {remote_identity(url) for url in urls if len(url) <= URL_LENGTH}
    return Names(identities=frozenset(identities - {""}), names=frozenset(name.lower() for name in names))


def _links(part: dict[str, Any]) -> list[str]:
    """Bitbucket's addresses."""
    links = part.get("links")
    groups = links.values() if isinstance(links, dict) else ()
    listed = [link for group in groups for link in (group if isinstance(group, list) else [group])]
    return [link["href"] for link in listed if isinstance(link, dict) and isinstance(link.get("href"), str)]


def _server_name(part: dict[str, Any]) -> list[str]:
    """The name that Bitbucket's server version spreads over two fields."""
    project, slug = part.get("project"), part.get("slug")
    if isinstance(project, dict) and isinstance(project.get("key"), str) and isinstance(slug, str):
        return [f"{project['key']}/{slug}"]
    return []


def pushes_of(forge: str, event: str, payload: dict[str, Any]) -> list[PushEvent]:
    """The refs that moved, empty for an event that the panel does not use; raises Unreadable."""
    if event not in PUSHES[forge]:
        return []
    read: Callable[[dict[str, Any], str], list[PushEvent]] = _bitbucket if forge == "bitbucket" else _common
    return read(payload, event)


def _common(payload: dict[str, Any], event: str) -> list[PushEvent]:
    """GitHub, GitLab, Gitea and our own hook: `ref`, `before`, `after`."""
    if event == "System Hook" and payload.get("event_name") not in {"push", "tag_push"}:
        return []
    pusher = payload.get("pusher")
    if event == "delete":  # Gitea: a short name and its kind
        kind = {"branch": "refs/heads/", "tag": "refs/tags/"}.get(str(payload.get("ref_type")))
        return [_event(f"{kind}{_text(payload, 'ref')}", "", "", pusher=_name(pusher))] if kind else []
    who = _name(pusher) or _name(payload.get("user_username")) or _name(payload.get("user_name"))
    return [
        _event(
            _text(payload, "ref"),
            _text(payload, "before"),
            _text(payload, "after"),
            forced=payload.get("forced") is True,
            pusher=who,
        )
    ]


def _bitbucket(payload: dict[str, Any], event: str) -> list[PushEvent]:
    who = _name(payload.get("actor"))
    push = payload if event == "repo:refs_changed" else payload.get("push")
    changes = push.get("changes") if isinstance(push, dict) else None
    if not isinstance(changes, list) or not all(isinstance(change, dict) for change in changes):
        raise Unreadable("The payload has no list of changes.")
    read = _server_change if event == "repo:refs_changed" else _cloud_change
    return [read(change, who) for change in changes[:CHANGES_MOST]]


def _cloud_change(change: dict[str, Any], who: str) -> PushEvent:
    old, new = (part if isinstance(part, dict) else {} for part in (change.get("old"), change.get("new")))
    one = new or old
    head = "refs/tags/" if one.get("type") == "tag" else "refs/heads/"
    before, after = (
        _text(part["target"], "hash") if isinstance(part.get("target"), dict) else "" for part in (old, new)
    )
    return _event(head + _text(one, "name"), before, after, forced=change.get("forced") is True, pusher=who)


def _server_change(change: dict[str, Any], who: str) -> PushEvent:
    ref = change.get("ref")
    if not isinstance(ref, dict):
        raise Unreadable("A change names no ref.")
    return _event(_text(ref, "id"), _text(change, "fromHash"), _text(change, "toHash"), pusher=who)


def _event(ref: str, before: str, after: str, *, forced: bool = False, pusher: str = "") -> PushEvent:
    if not ref or len(ref) > REF_LENGTH or any(ord(letter) <= 32 or ord(letter) == 127 for letter in ref):
        raise Unreadable(f"No ref that could be: {ref[:80]!r}.")
    commits = [_commit(value) for value in (before, after)]
    return PushEvent(ref=ref, before=commits[0], after=commits[1], forced=forced, pusher=pusher)


def _commit(value: str) -> str:
    if not value or ZERO.match(value):
        return ""
    if not COMMIT.match(value):
        raise Unreadable(f"No commit that could be: {value[:80]!r}.")
    return value


def _text(part: dict[str, Any], name: str) -> str:
    value = part.get(name)
    if not isinstance(value, str) or not _is_storable(value):
        raise Unreadable(f"The payload has no text “{name}”.")
    return value


def _name(value: Any) -> str:
    """A person's name, of the forms that forges use; empty when there is none."""
    if isinstance(value, dict):
        keys = ("login", "username", "name", "nickname", "display_name")
        value = next((value[key] for key in keys if isinstance(value.get(key), str) and value[key]), "")
    if not isinstance(value, str) or not _is_storable(value):
        return ""
    return "".join(letter for letter in value if letter.isprintable())[:150]


def _is_storable(text: str) -> bool:
    """Neither a NUL nor half a surrogate: databases and pages take neither."""
    return "\x00" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


@lru_cache(maxsize=2048)
def _sounds_secret(key: str) -> bool:
    return SECRET_NAME.search(key) is not None


def masked(value: Any, secrets: tuple[str, ...] = ()) -> Any:
    """A payload without secrets: fields that are called so are masked, and each of `secrets` wherever it stands."""
    if isinstance(value, dict):
        return {
            key: MASK if isinstance(part, str) and part and _sounds_secret(key) else masked(part, secrets)
            for key, part in value.items()
        }
    if isinstance(value, list):
        return [masked(part, secrets) for part in value]
    if isinstance(value, str):
        for secret in filter(None, secrets):
            value = value.replace(secret, MASK)
    return value
