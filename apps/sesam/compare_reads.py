"""The two sides of a comparison that people ask for: past syncs, commits, and what the node last had."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from apps.access.asked import number_of
from apps.access.errors import InputError, NotFound
from apps.repos.selectors import commit_resolve, repositories_visible
from apps.runs.states import RunState
from apps.sesam.desired import desired_read
from apps.sesam.findings import names_kept, problems_kept
from apps.sesam.models import SyncAction
from apps.sesam.plan import plan_made
from apps.sesam.plan_reads import Comparison
from apps.sesam.recently import Recently
from apps.sesam.rules import Rules
from apps.sesam.selectors import master_of, repository_of
from apps.sesam.source import SourceSettings
from apps.sesam.storage import configuration_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.contrib.auth.models import User

    from apps.sesam.configuration import Configuration
    from apps.sesam.models import Node, Sync

HAD = "had"
WRITES = (SyncAction.SYNC, SyncAction.RESTORE)


SIDES_KEPT = 16 * 1024 * 1024  # characters: people turn pages and filters


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side: what it is called, what it holds, and what is wrong with it."""

    name: str
    configuration: Configuration
    problems: Sequence[Mapping[str, Any]] = ()
    missing: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    is_node: bool = False


_sides: Recently[Side] = Recently(SIDES_KEPT)


def compared(node: Node, query: Mapping[str, str], user: User) -> Comparison | None:
    """What `?old=&new=` (syncs) or `?from=&to=` (refs) ask for; None when nothing is asked.

    A sync's number means what it wanted; with `:had` behind it, what the node had then. Without `from`: what the
    node last had. Raises InputError, NotFound and what reading a commit raises.
    """
    asked = {name: query.get(name, "").strip()[:300] for name in ("old", "new", "from", "to")}
    if not asked["to"] and not (asked["old"] and asked["new"]):
        return None
    if not asked["to"]:
        left, right = _of_sync(node, asked["old"]), _of_sync(node, asked["new"])
    else:
        left = _of_ref(node, asked["from"], user) if asked["from"] else last_seen(node)
        right = _of_ref(node, asked["to"], user)
    rules = Rules.of(node) if left.is_node else Rules(config_group=node.config_group)
    return Comparison(
        plan=plan_made(left.configuration, right.configuration, rules),
        left=left.name,
        right=right.name,
        missing=right.missing,
        problems=[*_told(left, right), *_told(right, left)],
        unknown=left.configuration.unknown,
        is_plan=False,
    )


def _told(side: Side, other: Side) -> list[dict[str, Any]]:
    """Its problems; where both sides have some, each says whose it is."""
    whose = f"{side.name}: " if other.problems else ""
    return [{**problem, "text": f"{whose}{problem.get('text', '')}"} for problem in side.problems]


def _of_sync(node: Node, text: str) -> Side:
    number, _, which = text.partition(":")
    rows = node.syncs.select_related("before", "wanted", "restored")
    row = rows.filter(pk=number_of(number) or 0).first()
    if row is None or which not in {"", HAD}:
        raise NotFound(f"{node.name} has no sync {text[:40]!r} to compare.")
    kept = row.before if which else row.wanted
    if kept is None:
        raise InputError(f"Sync #{row.run_number or row.pk} ended before {'the node' if which else 'Git'} was read.")
    return Side(name=sync_name(row, which), configuration=configuration_of(kept))


def sync_name(row: Sync, which: str = "") -> str:
    """“Before sync #12”, or what that sync wanted."""
    action = f"{row.get_action_display().lower()} #{row.run_number or row.pk}"
    return f"Before {action}" if which else f"{action.capitalize()} ({row.commit[:8] or row.ref or 'snapshot'})"


def _of_ref(node: Node, ref: str, user: User) -> Side:
    repository = repository_of(node)
    if repository is None:
        raise InputError(f"{node.name} follows no repository, so there are no commits to compare.")
    if not repositories_visible(user).filter(pk=repository.pk).exists():
        raise NotFound("To compare commits one must be allowed to see the repository.")
    commit = commit_resolve(repository, ref)
    short = commit.sha[:8]
    return replace(_read(node, commit.sha), name=short if commit.sha.startswith(ref) else f"{ref} ({short})")


def _read(node: Node, commit: str) -> Side:
    """A commit never changes; what is made of it does when the node's settings do."""
    extras = list(master_of(node).extras.order_by("pk").values_list("name", "template_path", "proxy", "node_id"))
    key = f"{node.pk} {commit} {SourceSettings.of(node)} {node.upload} {extras}"
    found = _sides.get(key)
    if found is None:
        wanted = desired_read(node=node, commit=commit)
        found = Side(
            name=commit[:8],
            configuration=wanted.configuration,
            problems=problems_kept(wanted.problems),
            missing=names_kept(wanted.missing(None)),
        )
        _sides.put(key, found, sum(len(str(one.value)) for one in wanted.configuration.entities.values()))
    return found


def last_seen(node: Node) -> Side:
    """What the panel knows of the node's configuration: what its newest run found there, or left there."""
    rows = node.syncs.filter(before__isnull=False).select_related("before", "wanted")
    row = rows.order_by("-id").first()
    if row is None or row.before is None:
        raise InputError(f"Nobody has looked at what {node.name} has yet: plan first, or compare two commits.")
    found, when = configuration_of(row.before), "before"
    if row.action in WRITES and row.state == RunState.SUCCEEDED and row.wanted is not None:
        wanted = configuration_of(row.wanted)
        found, when = plan_made(found, wanted, Rules.from_json(row.rules)).result, "after"
    name = f"{node.name}, {when} {row.get_action_display().lower()} #{row.run_number or row.pk}"
    return Side(name=name, configuration=found, is_node=True)
