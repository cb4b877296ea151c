"""Putting back what a sync has written, by its journal."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError
from django.utils import timezone

from apps.sesam.errors import NodeError, NodeFault, NodeRefused
from apps.sesam.journal import journal_mark, journal_open, journal_store
from apps.sesam.json_text import same
from apps.sesam.models import Node, SyncAction
from apps.sesam.plan import plan_made
from apps.sesam.rules import Rules
from apps.sesam.services.snapshots import snapshot_take
from apps.sesam.services.writes import ATTEMPTS, Found, written
from apps.sesam.storage import configuration_keep, configuration_of
from apps.sesam.words import some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from apps.sesam.client import NodeClient
    from apps.sesam.configuration import Entity
    from apps.sesam.models import Sync

    Note = Callable[[str], None]

PASSES = 2  # a configuration may be refused until the variables that it names are back


def sync_undo(*, client: NodeClient, sync: Sync, note: Note, attempts: int = ATTEMPTS) -> str:
    """Put back everything that the journal has open; empty when that is done, else what the node still holds.

    Only what the sync itself wrote: whatever else somebody has changed since then, stays as it is. Never raises for
    what the node does: what could not be put back is marked as owed. A write whose answer is lost is sent at most
    `attempts` times. Raises DatabaseError at the very end, when the journal could not be kept.
    """
    back, wrong = _Back(client, sync, note, attempts), dict[str, NodeError]()
    for _ in range(PASSES):
        wrong = {}
        for entry in journal_open(sync):
            try:
                back.put(entry)
            except NodeError as error:
                note(f"Undo of {entry['what']}: {error}")
                wrong[entry["what"]] = error
            else:
                _marked(sync, "undone", entry["what"], note)
        if not any(isinstance(error, NodeRefused) for error in wrong.values()):
            break
    if not wrong:
        journal_store(sync)
        return ""
    journal_mark(sync, "owed")
    return f"{_holds(sync, list(wrong))} {next(iter(wrong.values()))}"


def left_settled(*, client: NodeClient, sync: Sync, note: Note, attempts: int = ATTEMPTS) -> str:
    """For whoever comes after the run: confirm its writes if the node has them all, else put them back.

    Empty when that is done, else what the node still holds. Raises NodeError when the node cannot be read.
    """
    if not journal_open(sync):
        return ""
    if _Back(client, sync, note).has_arrived():
        note(f"The node has everything that run #{sync.run_number} wrote: it is confirmed.")
        journal_mark(sync, "done")
        _confirmed(sync)
        return ""
    note(f"Putting back what run #{sync.run_number} left half done.")
    return sync_undo(client=client, sync=sync, note=note, attempts=attempts)


def entities_differing(one: Mapping[str, Entity], other: Mapping[str, Entity]) -> list[str]:
    """Ids that only one has, or that differ as JSON values."""
    differing = set(one.keys() ^ other.keys())
    for name in one.keys() & other.keys():
        if not same(one[name].value, other[name].value):
            differing.add(name)
    return sorted(differing)


class _Back:
    """One undo: what the sync changed, from what it `wanted` to what was there `before`."""

    def __init__(self, client: NodeClient, sync: Sync, note: Note, attempts: int = ATTEMPTS) -> None:
        assert sync.before is not None
        assert sync.wanted is not None
        self._client, self._sync, self._note, self._attempts = client, sync, note, attempts
        rules = Rules.from_json(sync.rules)
        self._group = rules.config_group
        self._before = configuration_of(sync.before)
        self._wanted = plan_made(self._before, configuration_of(sync.wanted), rules).result
        self._changed = entities_differing(self._before.entities, self._wanted.entities)
        self._variables_changed = _differing(self._before.variables or {}, self._wanted.variables or {})
        self._is_aside = False

    def has_arrived(self) -> bool:
        """Whether the node has all that the sync wrote. Raises NodeError."""
        if _apart(self._entities(), self._wanted.entities, self._changed):
            return False
        if self._variables_changed:
            wanted = self._wanted.variables or {}
            if set(_differing(self._client.variables(), wanted)).intersection(self._variables_changed):
                return False
        new = [name for entry in journal_open(self._sync) for name in entry.get("names", ())]
        return not new or self._client.secrets().issuperset(new)

    def put(self, entry: dict[str, Any]) -> None:
        """What this entry of the journal wrote. Raises NodeError."""
        {"configuration": self._configuration, "variables": self._variables, "secrets": self._secrets}[entry["what"]](
            entry
        )

    def _written(self, write: Callable[[], None], look: Callable[[], Found]) -> None:
        written(write, look, self._note, attempts=self._attempts)

    def _configuration(self, _entry: dict[str, Any]) -> None:
        now, before = self._entities(), self._before.entities
        back = _apart(now, before, self._changed)
        if not back:
            self._note("Configuration: the node has what it had before.")
            return
        if others := [name for name in back if _apart(now, self._wanted.entities, [name])]:
            self._keep_aside(f"{len(others)} entities ({some(others)})")
        kept = {name: entity for name, entity in now.items() if name not in self._changed}
        stays = entities_differing(kept, {name: one for name, one in before.items() if name not in self._changed})
        if stays:
            self._note(f"Configuration: {len(stays)} entities were changed by someone else, and stay ({some(stays)}).")
        entities = [*kept.values(), *(before[name] for name in self._changed if name in before)]
        self._note(f"Configuration: putting back {len(back)} of {len(entities)} entities.")
        send = partial(self._client.configuration_put, entities, group=self._group)
        self._written(send, self._configuration_there)
        if self._configuration_there() is not Found.ARRIVED:
            raise NodeFault("The configuration that was put back does not read back as it was sent.")
        self._note("Configuration: put back, and read back.")

    def _configuration_there(self) -> Found:
        apart = _apart(self._entities(), self._before.entities, self._changed)
        return Found.AS_BEFORE if apart else Found.ARRIVED

    def _entities(self) -> Mapping[str, Entity]:
        return self._client.configuration(group=self._group).configuration.entities

    def _variables(self, _entry: dict[str, Any]) -> None:
        now, before = self._client.variables(), dict(self._before.variables or {})
        back = set(_differing(now, before)).intersection(self._variables_changed)
        if not back:
            self._note("Variables: the node has what it had before.")
            return
        if others := sorted(back.intersection(_differing(now, self._wanted.variables or {}))):
            self._keep_aside(f"{len(others)} variables ({some(others)})")
        changed = set(self._variables_changed)
        variables = {name: value for name, value in now.items() if name not in changed}
        variables |= {name: value for name, value in before.items() if name in changed}
        self._written(partial(self._client.variables_put, variables), self._variables_there)
        if self._variables_there() is not Found.ARRIVED:
            raise NodeFault("The variables that were put back do not read back as they were sent.")
        self._note(f"Variables: {len(back)} of {len(variables)} put back, and read back.")

    def _variables_there(self) -> Found:
        apart = _differing(self._client.variables(), self._before.variables or {})
        return Found.AS_BEFORE if set(apart).intersection(self._variables_changed) else Found.ARRIVED

    def _secrets(self, entry: dict[str, Any]) -> None:
        new, overwritten = entry.get("names", []), entry.get("overwritten", [])
        for name in sorted(self._client.secrets().intersection(new)):
            self._written(partial(self._client.secret_delete, name), partial(self._secret_gone, name))
        if new:
            self._note(f"Secrets: {len(new)} that it did not have before are deleted: {some(new, 20)}.")
        if overwritten:
            text = (
                f"Secrets: {len(overwritten)} may have new values, which cannot be put back: {some(overwritten, 20)}."
            )
            self._note(text)

    def _secret_gone(self, name: str) -> Found:
        return Found.AS_BEFORE if name in self._client.secrets() else Found.ARRIVED

    def _keep_aside(self, what: str) -> None:
        """What somebody else made of what the sync wrote: to be found again, since it is about to be overwritten."""
        node = self._sync.node
        if node is None or self._is_aside:
            return
        now = self._client.configuration(group=self._group).configuration
        if self._before.variables is not None:
            now = replace(now, variables=self._client.variables())
        kept = snapshot_take(node=node, sync=self._sync, content=configuration_keep(now), configuration=now)
        self._is_aside = True
        self._note(f"Someone has changed {what} meanwhile; what the node has now is kept as a snapshot ({kept}).")


def _apart(now: Mapping[str, Entity], then: Mapping[str, Entity], names: Iterable[str]) -> list[str]:
    """Of these ids, those that differ."""
    chosen = set(names)
    one, other = ({name: side[name] for name in chosen & side.keys()} for side in (now, then))
    return entities_differing(one, other)


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names that only one has, or whose values differ."""
    differing = set(one.keys() ^ other.keys())
    differing |= {name for name in one.keys() & other.keys() if not same(one[name], other[name])}
    return sorted(differing)


def _marked(sync: Sync, state: str, what: str, note: Note) -> None:
    """In the journal, as soon as that can be kept: while the database is away, putting back goes on."""
    try:
        journal_mark(sync, state, *([what] if what else []))
    except DatabaseError as error:
        note(f"The journal cannot be kept now ({type(error).__name__}); putting back goes on.")


def _holds(sync: Sync, owed: list[str]) -> str:
    """What the node may hold now, as a sentence."""
    new = f"new {' and '.join(owed)} (run #{sync.run_number})"
    old = [entry["what"] for entry in sync.journal if entry["what"] not in owed]
    return f"The node may hold {new}" + (f"; its {' and '.join(old)} are as before." if old else ".")


def _confirmed(sync: Sync) -> None:
    if sync.action == SyncAction.SYNC and sync.node is not None:
        Node.objects.filter(pk=sync.node.pk).update(applied_commit=sync.commit, applied_at=timezone.now())
