"""What nodes, extra nodes and secret stores must be to make sense: the rules behind their `clean`."""

from __future__ import annotations

import ipaddress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from apps.access.fields import is_set
from apps.repos.history import ref_is_possible
from apps.sesam.rules import pattern_fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apps.sesam.models import ExtraNode, Node, SecretStore

NONE = "none"  # what people write for "this node has no such file"
VERIFIED = ("variables", "secrets")  # what may be verified, and uploaded
_LISTS = ("protected", "ignore", "variables_files")


def store_problems(store: SecretStore) -> dict[str, str]:
    """What is wrong, by field."""
    if store.kind == store.Kind.PANEL:
        return {}
    wrong = _login_problems(store)
    if fault := url_fault(store.url):
        wrong["url"] = f"Vault's address is needed, such as https://vault.example:8200{fault}."
    if not store.mount:
        wrong["mount"] = "The mount of the KV engine is needed, such as secret."
    return wrong


def _login_problems(store: SecretStore) -> dict[str, str]:
    if store.auth != store.Auth.APPROLE:
        return {} if is_set(store, "token") else {"token": "This log-in needs a token."}
    wrong = {} if store.role_id else {"role_id": "AppRole needs a role ID."}
    return wrong if is_set(store, "secret_id") else wrong | {"secret_id": "AppRole needs a secret ID."}


def node_problems(node: Node) -> dict[str, str]:
    """What is wrong, by field."""
    wrong = {} if node.is_ci else _address_problems(node)
    if not is_within(node.sync_root):
        wrong["sync_root"] = "A folder inside the repository is needed: no “..”, no backslash."
    if not ref_is_possible(f"refs/heads/{node.branch}"):
        wrong["branch"] = "This cannot be the name of a branch or a tag."
    if node.environment == "ci" and node.layout == "single":
        wrong["environment"] = "ci is for multi-node repositories; choose test or prod."
    return wrong | _list_problems(node)


def twin_problem(node: Node, others: Iterable[Node]) -> str:
    """Why `node` and one of the others would undo each other's work; empty: none of them would.

    Two at one address are sound only where each keeps to a configuration group of its own.
    """
    for other in others:
        apart = node.config_group and other.config_group and node.config_group != other.config_group
        if not apart and same_place(node.url, other.url):
            what = f"the configuration group {node.config_group}" if node.config_group else "all of that node"
            return f"{other.name} has this address, too, and would change {what} as well: switch one of them off."
    return ""


def same_place(one: str, other: str) -> bool:
    """Whether two URLs are only two ways of writing one address."""
    return one == other or _place(one) == _place(other)


def _place(url: str) -> tuple[str, int, str]:
    """The same for all ways of writing an address."""
    parts = urlsplit(url.strip())
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        port = 0
    return (parts.hostname or "").rstrip("."), port, parts.path.rstrip("/").removesuffix("/api")


def _address_problems(node: Node) -> dict[str, str]:
    wrong = {}
    if fault := url_fault(node.url):
        wrong["url"] = f"The node's address is needed, such as https://dev.example/api{fault}."
    if not is_set(node, "jwt"):
        wrong["jwt"] = "The node's token is needed."
    return wrong


def _list_problems(node: Node) -> dict[str, str]:
    wrong = {}
    for name in ("verify", "upload"):
        chosen = getattr(node, name)
        if not isinstance(chosen, list) or not set(map(str, chosen)) <= set(VERIFIED):
            wrong[name] = f"Only {' and '.join(VERIFIED)} can be named."
        elif "secrets" in chosen and node.secret_store_id is None:
            wrong["secret_store"] = f"To {name} secrets, choose where they come from."
    for name in _LISTS:
        chosen = getattr(node, name)
        if not isinstance(chosen, list) or not all(isinstance(one, str) and one for one in chosen):
            wrong[name] = "A list of words is needed."
    return wrong | _content_problems(node, [name for name in _LISTS if name not in wrong])


def _content_problems(node: Node, sound: list[str]) -> dict[str, str]:
    """What is wrong in lists that are lists of words."""
    wrong = {}
    if "ignore" in sound and (fault := pattern_fault(node.ignore)):
        wrong["ignore"] = fault
    if "variables_files" in sound and not all(is_within(one) for one in node.variables_files):
        wrong["variables_files"] = "Files inside the node's folder are needed: no leading slash, no “..”."
    if not is_within(node.whitelist_file):
        wrong["whitelist_file"] = "A file inside the node's folder is needed: no leading slash, no “..”."
    return wrong


def extra_problems(extra: ExtraNode) -> dict[str, str]:
    """What is wrong, by field. That it leads to a repository or to a node, the database itself holds."""
    wrong: dict[str, str] = {}
    if not extra.template_path or not is_within(extra.template_path):
        wrong["template_path"] = "A folder beside node/ is needed, such as extra_nodes/eidsiva/."
    if extra.master_id is not None and extra.master.layout != "multi":
        wrong["master"] = "Only a node with the multi-node layout has extra nodes."
    if extra.node is None:
        return wrong
    if extra.node_id == extra.master_id:
        wrong["node"] = "A node cannot be its own extra node."
    elif extra.node.repository_id is not None:
        wrong["node"] = "That node follows a repository of its own; empty its repository first."
    return wrong


def url_fault(url: str) -> str:
    """What a URL has that no address of ours may have, or lacks, as the end of a sentence; empty: it is one."""
    lacking = ": it begins with https:// or http://, and a name"
    try:
        parts = urlsplit(url.strip())
        if parts.scheme not in {"https", "http"} or not parts.hostname or parts.port == 0:
            return lacking
    except ValueError:
        return lacking
    if parts.username is not None or parts.password is not None:
        return ", without a user name or password: everyone who sees the address would see them"
    if parts.query or parts.fragment or not url.strip().isprintable() or " " in url.strip():
        return ", without “?”, “#” and blanks"
    return ""


def is_in_clear(url: str) -> bool:
    """Whether what is sent to an address leaves this machine without TLS."""
    if not url.strip().lower().startswith("http://"):
        return False
    host = ""
    try:
        host = urlsplit(url.strip()).hostname or ""
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host != "localhost" and not host.endswith(".localhost")


def is_within(path: str) -> bool:
    """Whether a path stays inside the folder it is relative to. Empty: the folder itself."""
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and not {"\x00", "\\"} & set(path)
