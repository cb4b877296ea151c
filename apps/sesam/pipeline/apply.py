"""The writes, in their order: secrets, variables, configuration. Each is in the journal before it begins."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from apps.runs.errors import RunFailed
from apps.sesam.errors import ConfigurationRefused
from apps.sesam.journal import journal_drop, journal_mark, journal_write
from apps.sesam.json_text import same
from apps.sesam.pipeline import stages
from apps.sesam.pipeline.read_back import read_back
from apps.sesam.pipeline.session import time_to_put_right
from apps.sesam.pipeline.undone import NodeMoved, undone
from apps.sesam.services.rules import run_admitted
from apps.sesam.services.snapshots import snapshot_take
from apps.sesam.services.undo import entities_differing
from apps.sesam.services.writes import Found, written
from apps.sesam.vault import store_opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from apps.sesam.pipeline.session import Session


def applied(session: Session) -> None:
    """Write what the plan says. Whatever goes wrong, what was written is undone; the error says what the node holds.

    Raises NodeMoved where the comparison has to be made again.
    """
    _admitted_again(session)
    _values_read(session)
    _snapshot(session)
    with time_to_put_right(session.work):
        try:
            _secrets(session)
            _variables(session)
            _configuration(session)
            read_back(session)
        except BaseException as error:
            raise undone(session, error) from error
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
