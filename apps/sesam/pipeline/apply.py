"""The writes, in their order: secrets, variables, configuration; read back; and undone when one of them fails."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from apps.access.errors import PanelError
from apps.runs.errors import RunEnded, RunFailed
from apps.sesam.errors import ConfigurationRefused, NodeError
from apps.sesam.journal import journal_drop, journal_mark, journal_open, journal_write
from apps.sesam.json_text import same
from apps.sesam.pipeline import stages
from apps.sesam.pipeline.session import firm_client
from apps.sesam.services.owed import node_owes
from apps.sesam.services.rules import run_admitted
from apps.sesam.services.snapshots import snapshot_take
from apps.sesam.services.undo import entities_differing, sync_undo
from apps.sesam.services.writes import Found, written
from apps.sesam.vault import store_opened
from apps.sesam.words import some

if TYPE_CHECKING:
    from collections.abc import Callable

    from apps.sesam.client import NodeClient
    from apps.sesam.pipeline.session import Session

READ_BACK_PAUSES = (0.1, 0.3, 0.6, 1.0, 2.0)  # seconds; a node may need a moment to show what it took
DEPLOYING_WAIT = 5.0  # seconds
SETTLE_CHECKS = 200  # entities that the node is asked to write its own way, when reading back


class NodeMoved(RunFailed):
    """Someone else changed the node between the comparison and the write."""

    def __init__(self, what: str) -> None:
        super().__init__(f"Someone else has changed the node's {what} meanwhile.", "Try again when they are done.")


def applied(session: Session) -> None:
    """Write what the plan says. Whatever goes wrong, what was written is undone; the error says what the node holds.

    Raises NodeMoved where the comparison has to be made again.
    """
    _admitted_again(session)
    _values_read(session)
    _snapshot(session)
    try:
        _secrets(session)
        _variables(session)
        _configuration(session)
        _read_back(session)
    except BaseException as error:
        raise _undone(session, error) from error
    journal_mark(session.row, "done")


def _admitted_again(session: Session) -> None:
    """A freeze may have begun, or the hours ended, while Git was read."""
    decision = run_admitted(session.work.run)
    if not decision.allowed:
        raise RunFailed("Refused before the first write: " + " ".join(decision.reasons))


def _values_read(session: Session) -> None:
    """The secrets' values, before anything is written: the store may fail, too."""
    needed, store = session.wanted.secrets, session.node.secret_store
    if not needed or store is None:
        return
    with store_opened(store) as reader:
        session.values = reader.values(sorted(needed))
    for value in session.values.values():
        session.work.mask(value)


def _snapshot(session: Session) -> None:
    with session.work.step(stages.SNAPSHOT) as handle:
        stored = session.row.before
        assert stored is not None
        kept = snapshot_take(node=session.node, sync=session.row, content=stored, configuration=session.before)
        variables = "" if kept.variables is None else f" and {kept.variables} variables"
        handle.message = f"{kept.entities} entities{variables} kept"
        session.note(f"Snapshot: {handle.message}; the values of secrets cannot be read from a node.")


def _secrets(session: Session) -> None:
    with session.work.step(stages.SECRETS) as handle:
        if not session.values:
            handle.skip("None are sent.")
            return
        there = session.before.secrets or frozenset()
        names = session.values.keys()
        session.work.check()
        journal_write(session.row, "secrets", names=sorted(names - there), overwritten=sorted(names & there))
        look = partial(_secrets_there, session, there)
        _sent(session, "secrets", lambda: session.client.secrets_add(session.values), look)
        handle.message = f"{len(names)} sent, {len(names - there)} of them new"


def _variables(session: Session) -> None:
    with session.work.step(stages.VARIABLES) as handle:
        if not session.plan.variables:
            handle.skip("They are as they should be." if session.uploads_variables else "They are not uploaded.")
            return
        before, wanted = dict(session.before.variables or {}), dict(session.wanted.variables or {})
        if not same(session.client.variables(), before):
            raise NodeMoved("variables")
        session.work.check()
        journal_write(session.row, "variables")
        look = partial(_variables_there, session, before, wanted)
        _sent(session, "variables", lambda: session.client.variables_put(wanted), look)
        handle.message = f"{len(wanted)} sent, {len(session.plan.variables)} differ"


def _configuration(session: Session) -> None:
    with session.work.step(stages.CONFIGURATION) as handle:
        if not session.plan.writes_configuration:
            handle.skip("It is as it should be.")
            return
        entities, group = session.plan.result.entities, session.rules.config_group
        _unmoved(session, group)
        session.work.check()
        journal_write(session.row, "configuration")
        look = partial(_configuration_there, session)
        _sent(session, "configuration", lambda: session.client.configuration_put(entities.values(), group=group), look)
        handle.message = f"{len(entities)} entities sent"


def _unmoved(session: Session, group: str) -> None:
    """One cheap look more, so that nobody's change of the last moment is overwritten unseen."""
    now = session.client.configuration(group=group, etag=session.etag)
    if not now.not_modified and now.digest != session.digest:
        raise NodeMoved("configuration")


def _sent(session: Session, what: str, write: Callable[[], None], look: Callable[[], Found]) -> None:
    began = time.monotonic()
    try:
        written(write, look, session.note, partial(journal_drop, session.row, what))
    except ConfigurationRefused as error:
        _refused_told(session, error)
        raise
    session.note(f"Answered after {time.monotonic() - began:.1f} s.")


def _refused_told(session: Session, error: ConfigurationRefused) -> None:
    """The node's validation errors, each next to the file that it is about."""
    files = {name: entity.file for name, entity in session.wanted.entities.items()}
    refused = [
        {"entity": name, "file": files.get(name, ""), "level": level, "message": text, "elements": list(elements)}
        for name, level, text, elements in error.errors
    ]
    session.keep(refused=session.work.log.shown(refused))
    for one in refused:
        where = f" ({one['file']})" if one["file"] else ""
        at = f" [{', '.join(map(str, one['elements']))}]" if one["elements"] else ""
        session.note(f"The node says of {one['entity'] or 'the configuration'}{where}: {one['message']}{at}")


def _read_back(session: Session) -> None:
    """Only what was read back counts. No stop ends this: it says which of the two the node has."""
    with (
        session.work.step(stages.READ_BACK, stoppable=False) as handle,
        firm_client(session.work, session.node) as client,
    ):
        for pause in (*READ_BACK_PAUSES, None):
            wrong = _differences(session, client)
            if not wrong:
                break
            if pause is None:
                raise RunFailed(f"What was read back is not what was sent: {'; '.join(wrong)}.")
            time.sleep(pause)
        handle.message = "The node has what was sent"
        if session.plan.writes_configuration:
            _deploying_told(session, client)


def _differences(session: Session, client: NodeClient) -> list[str]:
    wrong, wanted = [], session.plan.result
    if session.plan.writes_configuration:
        now = client.configuration(group=session.rules.config_group).configuration.entities
        differing = [
            name
            for name in entities_differing(now, wanted.entities)
            if name not in now
            or name not in wanted.entities
            or not _alike(client, now[name].value, wanted.entities[name].value)
        ]
        wrong += [f"{len(differing)} entities ({some(differing)})"] if differing else []
    if session.plan.variables and not same(client.variables(), dict(wanted.variables or {})):
        wrong.append("variables")
    if session.values and (lacking := session.values.keys() - client.secrets()):
        wrong.append(f"{len(lacking)} secrets ({some(sorted(lacking))})")
    return wrong


def _alike(client: NodeClient, now: object, wanted: object) -> bool:
    try:
        return same(client.reformat(wanted), now)
    except NodeError:
        return False


def _deploying_told(session: Session, client: NodeClient) -> None:
    """Changed pipes need a moment to be in place; that is told, and nothing fails for it."""
    deadline = time.monotonic() + DEPLOYING_WAIT
    try:
        while names := client.deploying():
            if time.monotonic() > deadline or session.work.stopping.wait(0.5):
                session.note(f"{len(names)} pipes are still being deployed by the node ({some(names)}).")
                return
    except PanelError as error:
        session.note(f"Whether its pipes are in place is not known: {error}")


# What a lost answer leaves open


def _secrets_there(session: Session, before: frozenset[str]) -> Found:
    now = session.client.secrets()
    if not session.values.keys() - before:
        return Found.AS_BEFORE  # new values of known names cannot be seen: to send them again does no harm
    return Found.ARRIVED if session.values.keys() <= now else Found.AS_BEFORE if now == before else Found.OTHER


def _variables_there(session: Session, before: dict[str, object], wanted: dict[str, object]) -> Found:
    now = session.client.variables()
    return Found.ARRIVED if same(now, wanted) else Found.AS_BEFORE if same(now, before) else Found.OTHER


def _configuration_there(session: Session) -> Found:
    now = session.client.configuration(group=session.rules.config_group)
    if now.digest == session.digest:
        return Found.AS_BEFORE
    differing = entities_differing(now.configuration.entities, session.plan.result.entities)
    return Found.OTHER if differing else Found.ARRIVED


# When it fails


def _undone(session: Session, error: BaseException) -> BaseException:
    """Put back what was written; the error to raise, which says what the node holds now."""
    if not journal_open(session.row):
        return _with(session, error, "Nothing was written to the node.")
    session.note(f"Failed: {error}" if not isinstance(error, RunEnded) else str(error))
    session.note("What was written is put back.")
    with (
        session.work.step(stages.UNDO, stoppable=False) as handle,
        firm_client(session.work, session.node) as client,
    ):
        held = sync_undo(client=client, sync=session.row, note=session.note)
        if held:
            handle.fail(held)
            node_owes(sync=session.row, detail=held)
            return _with(session, error, f"It could not be undone yet: {held}", final=True)
        handle.message = "The node has what it had before"
    return _with(session, error, f"It was undone: the node has what it had before{_overwritten(session)}.")


def _overwritten(session: Session) -> str:
    names = [name for entry in session.row.journal for name in entry.get("overwritten", ())]
    return f", but for the values of {len(names)} secrets, which were sent anew ({some(names)})" if names else ""


def _with(session: Session, error: BaseException, told: str, *, final: bool = False) -> BaseException:
    if not told:
        return error
    session.note(told)
    session.work.add_to_reason(told)
    if isinstance(error, NodeMoved) and not final:
        return error  # and the comparison is made again
    if not isinstance(error, RunFailed | PanelError):
        return error
    hint = getattr(error, "hint", "") or getattr(error, "remedy", "")
    return Unapplied(f"{error} {told}", hint, error)


class Unapplied(RunFailed):
    """The writes failed; `cause` is why."""

    def __init__(self, message: str, hint: str, cause: BaseException) -> None:
        super().__init__(message, hint)
        self.cause = cause
