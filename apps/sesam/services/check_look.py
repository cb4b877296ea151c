"""What a check asks: the repositories' servers where the branches are, and the nodes what they have.

One question for all branches of a repository, one download of each node's configuration. Only
`nodes_looked` and `tips_known` touch the database; what threads do, does not, but for paying what is owed.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from apps.access.errors import PanelError
from apps.repos.services import branch_tips
from apps.sesam.client import NodeClient
from apps.sesam.json_text import canonical
from apps.sesam.models import Node
from apps.sesam.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from apps.repos.models import Repository
    from apps.sesam.configuration import Json
    from apps.sesam.download import Download

logger = logging.getLogger(__name__)
LOGIC = 1  # to be raised when the same two sides may compare differently than before
# A node that is silent is looked at again soon enough: no worker waits long for it.
PATIENCE = Patience(connect=3.0, read=10.0, write=10.0, total=12.0, tries=2, limit=12.0, retry_after=2.0)
LOOKED_AT = timedelta(seconds=2)  # another's look at the branch that is not older, is good enough
TIP_TIMEOUT = 10  # seconds for a Git server
POLL_SLACK = timedelta(seconds=5)  # that a poll may be late

Place = tuple[int, str]  # a repository and one of its branches or tags


@dataclass(frozen=True, kw_only=True)
class Tip:
    """Where a branch is. Neither a commit nor an error: there is no such branch."""

    commit: str = ""
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a node said. `error` is a sentence; else `key` names both sides and the settings."""

    error: str = ""
    download: Download | None = None
    digest: str = ""  # of the node's configuration alone
    etag: str = ""
    variables: Mapping[str, Json] | None = None
    secrets: frozenset[str] | None = None
    key: str = ""


def source_of(node: Node) -> Node:
    """The node whose repository and branch this one follows: itself, or the master that feeds it."""
    fed_by = getattr(node, "fed_by", None) if node.repository_id is None else None
    return fed_by.master if fed_by is not None else node


def place_of(node: Node) -> Place | None:
    """Where its commits come from; None while nobody has said."""
    source = source_of(node)
    return (source.repository_id, source.branch) if source.repository_id is not None else None


def tips_known(nodes: Sequence[Node], now: datetime) -> dict[Place, Tip]:
    """What a poll or another node's check found just now: nobody need ask again."""
    places = {place: source_of(node).repository for node in nodes if (place := place_of(node))}
    known = {place: tip for place, row in places.items() if row is not None and (tip := _polled(row, place[1], now))}
    lately = Node.objects.filter(repository__in={place[0] for place in places}, checked_at__gte=now - LOOKED_AT)
    others = lately.exclude(pk__in=[node.pk for node in nodes]).exclude(seen_commit="")
    rows = others.values_list("repository_id", "branch", "seen_commit")
    return {(number, branch): Tip(commit=commit) for number, branch, commit in rows if number} | known


def tips_asked(repository: Repository, branches: Iterable[str]) -> dict[Place, Tip]:
    """One question to the repository's server, whatever comes of it."""
    wanted = sorted(set(branches))
    try:
        found = branch_tips(repository, wanted, TIP_TIMEOUT)
    except PanelError as error:
        return {(repository.pk, branch): Tip(error=f"Its repository cannot be asked. {error}") for branch in wanted}
    return {(repository.pk, branch): Tip(commit=commit) for branch, commit in found.items()}


def repositories_of(places: Iterable[Place], nodes: Iterable[Node]) -> list[tuple[Repository, set[str]]]:
    """Which branches to ask each repository's server for."""
    rows = {row.pk: row for node in nodes if (row := source_of(node).repository)}
    branches: dict[int, set[str]] = defaultdict(set)
    for number, branch in places:
        branches[number].add(branch)
    return [(rows[number], names) for number, names in branches.items()]


def node_look(node: Node, commit: str, settings: str) -> Seen:
    """Ask a node what it has; what has not changed is not even sent. Never raises for what a node does."""
    try:
        with NodeClient.of(node, patience=PATIENCE) as client:
            variables = client.variables() if "variables" in node.upload else None
            secrets = client.secrets() if "secrets" in node.upload else None
            rest = (commit, canonical(variables), canonical(sorted(secrets or ())), settings)
            known = bool(node.compared) and _key(node.seen_digest, *rest) == node.compared
            download = client.configuration(node.config_group, node.seen_etag if known else "")
            digest = node.seen_digest if download.not_modified else download.digest
            etag = download.etag or (node.seen_etag if download.not_modified else "")
            return Seen(
                download=download, digest=digest, etag=etag, variables=variables, secrets=secrets,
                key=_key(digest, *rest),
            )  # fmt: skip
    except PanelError as error:
        return Seen(error=" ".join(filter(None, (str(error), getattr(error, "remedy", "")))))
    except Exception:  # whatever it is, the other nodes must be looked at
        logger.exception("%s answered what the panel stumbled over.", node.name)
        return Seen(error="The panel failed to read what it answered; the panel's log says why.")


def settings_digest(node: Node) -> str:
    """All that is set on a node, and on the master that feeds it, and decides what a check makes of it."""
    own = [node.pk, node.verify, node.removal_limit, node.removal_share, node.apply_mode]
    return hashlib.sha256(canonical([LOGIC, own, wish_digest(node)]).encode()).hexdigest()


def wish_digest(node: Node) -> str:
    """All that is set on a node, and on the master that feeds it, and decides what it should have of a commit."""
    source = source_of(node)
    extras = [
        [extra.name, extra.template_path, extra.proxy, extra.repository_id, extra.node_id]
        for extra in source.extras.all()
    ]
    own = [node.url, node.config_group, node.upload, node.protected, node.ignore, node.orchestrator]
    theirs = [source.repository_id, source.name, source.layout, source.environment, source.sync_root]
    theirs += [source.branch, source.variables_files, source.whitelist_file]
    return hashlib.sha256(canonical([own, theirs, sorted(extras, key=str)]).encode()).hexdigest()


def _polled(repository: Repository, branch: str, now: datetime) -> Tip | None:
    """What the last poll said, where it is as fresh as polls of this repository are and knows the branch."""
    if not repository.poll_interval or repository.polled_at is None or repository.fetch_error:
        return None
    if now - repository.polled_at > timedelta(seconds=repository.poll_interval) + POLL_SLACK:
        return None
    commit = (repository.polled_refs or {}).get(f"refs/heads/{branch}", "")
    return Tip(commit=commit) if commit else None


def _key(digest: str, *rest: str) -> str:
    return hashlib.sha256("\x00".join([digest, *rest]).encode()).hexdigest()
