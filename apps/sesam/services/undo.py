"""Putting back what a sync has written, by its journal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.sesam.errors import NodeError, NodeFault, NodeRefused
from apps.sesam.journal import journal_mark, journal_open
from apps.sesam.json_text import same
from apps.sesam.models import Node, SyncAction
from apps.sesam.plan import plan_made
from apps.sesam.rules import Rules
from apps.sesam.services.snapshots import snapshot_take
from apps.sesam.services.writes import Found, written
from apps.sesam.storage import configuration_keep, configuration_of
from apps.sesam.words import some

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apps.sesam.client import NodeClient
    from apps.sesam.configuration import Configuration, Entity
    from apps.sesam.models import Sync

    Note = Callable[[str], None]

PASSES = 2  # a configuration may be refused until the variables that it names are back


def sync_undo(*, client: NodeClient, sync: Sync, note: Note) -> str:
    """Put back everything that the journal has open; empty when that is done, else what the node still holds.

    Never raises for what the node does: what could not be put back is marked as owed.
    """
    assert sync.before is not None
    back = _Back(client, configuration_of(sync.before), _rules(sync).config_group, note)
    wrong: dict[str, NodeError] = {}
    for _ in range(PASSES):
        wrong = {}
        for entry in journal_open(sync):
            try:
                back.put(entry)
            except NodeError as error:
                note(f"Undo of {entry['what']}: {error}")
                wrong[entry["what"]] = error
            else:
                journal_mark(sync, "undone", entry["what"])
        if not any(isinstance(error, NodeRefused) for error in wrong.values()):
            break
    if not wrong:
        return ""
    journal_mark(sync, "owed")
    return f"{_holds(sync, list(wrong))} {next(iter(wrong.values()))}"


def left_settled(*, client: NodeClient, sync: Sync, note: Note) -> str:
    """For whoever comes after the run: confirm its writes if the node has them all, else put them back.

    Empty when that is done, else what the node still holds. What the node has is kept as a snapshot
    where that is neither the one nor the other. Raises NodeError when the node cannot be read.
    """
    if not journal_open(sync):
        return ""
    assert sync.before is not None
    assert sync.wanted is not None
    before, rules = configuration_of(sync.before), _rules(sync)
    wanted = plan_made(before, configuration_of(sync.wanted), rules).result
    now = _read(client, rules.config_group, variables=before.variables is not None)
    if is_there(now, wanted):
        note(f"The node has everything that run #{sync.run_number} wrote: it is confirmed.")
        journal_mark(sync, "done")
        _confirmed(sync)
        return ""
    is_known = entities_same(now.entities, before.entities) or entities_same(now.entities, wanted.entities)
    if not is_known and any(entry["what"] == "configuration" for entry in journal_open(sync)):
        _kept_aside(sync, now, note)
    note(f"Putting back what run #{sync.run_number} left half done.")
    return sync_undo(client=client, sync=sync, note=note)


def is_there(now: Configuration, wanted: Configuration) -> bool:
    """Whether the node has what is wanted, in everything that is compared."""
    variables = wanted.variables is None or now.variables is None or same(dict(now.variables), dict(wanted.variables))
    return variables and entities_same(now.entities, wanted.entities)


def entities_same(one: Mapping[str, Entity], other: Mapping[str, Entity]) -> bool:
    return one.keys() == other.keys() and not entities_differing(one, other)


def entities_differing(one: Mapping[str, Entity], other: Mapping[str, Entity]) -> list[str]:
    """Ids that only one has, or that differ as JSON values."""
    differing = set(one.keys() ^ other.keys())
    for name in one.keys() & other.keys():
        if not same(one[name].value, other[name].value):
            differing.add(name)
    return sorted(differing)


@dataclass(frozen=True)
class _Back:
    """One undo: to `before`, of which `group` is the configuration group."""

    client: NodeClient
    before: Configuration
    group: str
    note: Note

    def put(self, entry: dict[str, Any]) -> None:
        """What this entry of the journal wrote. Raises NodeError."""
        {"configuration": self._configuration, "variables": self._variables, "secrets": self._secrets}[entry["what"]](
            entry
        )

    def _configuration(self, _entry: dict[str, Any]) -> None:
        if self._configuration_there() is Found.ARRIVED:
            self.note("Configuration: the node has what it had before.")
            return
        entities = self.before.entities.values()
        self.note(f"Configuration: putting back {len(entities)} entities.")
        send = partial(self.client.configuration_put, entities, group=self.group)
        written(send, self._configuration_there, self.note)
        if self._configuration_there() is not Found.ARRIVED:
            raise NodeFault("The configuration that was put back does not read back as it was sent.")
        self.note("Configuration: put back, and read back.")

    def _configuration_there(self) -> Found:
        now = self.client.configuration(group=self.group).configuration
        return Found.ARRIVED if entities_same(now.entities, self.before.entities) else Found.AS_BEFORE

    def _variables(self, _entry: dict[str, Any]) -> None:
        if self._variables_there() is Found.ARRIVED:
            self.note("Variables: the node has what it had before.")
            return
        variables = dict(self.before.variables or {})
        written(partial(self.client.variables_put, variables), self._variables_there, self.note)
        if self._variables_there() is not Found.ARRIVED:
            raise NodeFault("The variables that were put back do not read back as they were sent.")
        self.note(f"Variables: {len(variables)} put back, and read back.")

    def _variables_there(self) -> Found:
        there = same(self.client.variables(), dict(self.before.variables or {}))
        return Found.ARRIVED if there else Found.AS_BEFORE

    def _secrets(self, entry: dict[str, Any]) -> None:
        new, overwritten = entry.get("names", []), entry.get("overwritten", [])
        for name in sorted(self.client.secrets().intersection(new)):
            written(partial(self.client.secret_delete, name), partial(self._secret_gone, name), self.note)
        if new:
            self.note(f"Secrets: {len(new)} that it did not have before are deleted: {some(new, 20)}.")
        if overwritten:
            text = (
                f"Secrets: {len(overwritten)} may have new values, which cannot be put back: {some(overwritten, 20)}."
            )
            self.note(text)

    def _secret_gone(self, name: str) -> Found:
        return Found.AS_BEFORE if name in self.client.secrets() else Found.ARRIVED


def _holds(sync: Sync, owed: list[str]) -> str:
    """What the node may hold now, as a sentence."""
    new = f"new {' and '.join(owed)} (run #{sync.run_number})"
    old = [entry["what"] for entry in sync.journal if entry["what"] not in owed]
    return f"The node may hold {new}" + (f"; its {' and '.join(old)} are as before." if old else ".")


def _read(client: NodeClient, group: str, *, variables: bool) -> Configuration:
    found = client.configuration(group=group).configuration
    return replace(found, variables=client.variables()) if variables else found


def _kept_aside(sync: Sync, now: Configuration, note: Note) -> None:
    if sync.node is None:
        return
    kept = snapshot_take(node=sync.node, sync=sync, content=configuration_keep(now), configuration=now)
    note(f"Someone has changed the node meanwhile; what it has now is kept as a snapshot ({kept}).")


def _confirmed(sync: Sync) -> None:
    if sync.action == SyncAction.SYNC and sync.node is not None:
        Node.objects.filter(pk=sync.node.pk).update(applied_commit=sync.commit, applied_at=timezone.now())


def _rules(sync: Sync) -> Rules:
    return Rules.from_json(sync.rules)
