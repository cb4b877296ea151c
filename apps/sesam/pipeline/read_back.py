"""Only what was read back counts: whether the node has what was sent, and whether its pipes are in place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from apps.access.errors import PanelError
from apps.runs.errors import RunFailed
from apps.sesam.errors import NodeError
from apps.sesam.json_text import same
from apps.sesam.pipeline import stages
from apps.sesam.pipeline.session import firm_client
from apps.sesam.services.undo import entities_differing
from apps.sesam.words import some

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apps.sesam.client import NodeClient
    from apps.sesam.configuration import Entity
    from apps.sesam.pipeline.session import Session

PAUSES = (0.1, 0.3, 0.6, 1.0, 2.0)  # seconds; a node may need a moment to show what it took
DEPLOYING_WAIT = 5.0  # seconds
REFORMATS = 200  # entities that the node is asked to write its own way, where they differ from what was sent


def read_back(session: Session) -> None:
    """Raises RunFailed when the node does not have what was sent. No stop ends this: it decides which of both it is."""
    with (
        session.work.step(stages.READ_BACK, stoppable=False) as handle,
        firm_client(session.work, session.node) as client,
    ):
        reading = _Reading(session, client)
        for pause in (*PAUSES, None):
            wrong = reading.differences()
            if not wrong:
                break
            if pause is None:
                raise RunFailed(f"What was read back is not what was sent: {'; '.join(wrong)}.")
            time.sleep(pause)
        handle.message = "The node has what was sent"
        if session.plan.writes_configuration:
            _deploying_told(session, client)


class _Reading:
    """What the node has, against what was sent; each entity's own form is asked for once."""

    def __init__(self, session: Session, client: NodeClient) -> None:
        self._session, self._client = session, client
        self._formatted: dict[str, object] = {}

    def differences(self) -> list[str]:
        session, wanted, wrong = self._session, self._session.plan.result, []
        if session.plan.writes_configuration:
            now = self._client.configuration(group=session.rules.config_group).configuration.entities
            differing = self._differing(now, wanted.entities)
            wrong += [f"{len(differing)} entities ({some(differing)})"] if differing else []
        if session.plan.variables and not same(self._client.variables(), dict(wanted.variables or {})):
            wrong.append("variables")
        if session.values and (lacking := session.values.keys() - self._client.secrets()):
            wrong.append(f"{len(lacking)} secrets ({some(sorted(lacking))})")
        return wrong

    def _differing(self, now: Mapping[str, Entity], wanted: Mapping[str, Entity]) -> list[str]:
        """Ids that differ in more than the node's way of writing. Of very many, the first ones speak for all."""
        apart = entities_differing(now, wanted)
        one_sided = [name for name in apart if name not in now or name not in wanted]
        if one_sided:
            return one_sided
        return [name for name in apart[:REFORMATS] if not self._alike(name, now[name].value, wanted[name].value)]

    def _alike(self, name: str, now: object, wanted: object) -> bool:
        if name not in self._formatted:
            try:
                self._formatted[name] = self._client.reformat(wanted)
            except NodeError:
                return False
        return same(self._formatted[name], now)


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
