"""What the steps of one run share: its row, its node, the open door to it, and what was found so far."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apps.access.errors import DecryptionError
from apps.runs.errors import RunFailed
from apps.runs.patience import patiently
from apps.sesam.configuration import Configuration
from apps.sesam.errors import NodeFault
from apps.sesam.journal import PATIENCE
from apps.sesam.models import Sync
from apps.sesam.plan import Plan
from apps.sesam.rules import Rules
from apps.sesam.services import doors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apps.runs.work import Work
    from apps.sesam.client import NodeClient
    from apps.sesam.desired import Desired
    from apps.sesam.models import Node

GRACE = 110.0  # seconds that a run which must end has for reading back and for putting back
UNDO_PATIENCE = 60.0  # seconds of waiting for a node in that time


@dataclass(kw_only=True)
class Session:
    """`wanted` and `before` are the two sides, `plan` what lies between them; each is set by its step."""

    work: Work
    row: Sync
    node: Node
    client: NodeClient
    rules: Rules
    desired: Desired | None = None  # None: a restore
    wanted: Configuration = field(default_factory=Configuration)
    before: Configuration = field(default_factory=Configuration)
    etag: str = ""
    digest: str = ""
    plan: Plan = field(default_factory=Plan)
    values: dict[str, str] = field(default_factory=dict, repr=False)  # of secrets, to be sent

    @property
    def uploads_variables(self) -> bool:
        return self.wanted.variables is not None

    @property
    def resends_secrets(self) -> bool:
        return bool(self.work.run.params.get("resend_secrets")) and bool(self.wanted.secrets)

    @property
    def has_nothing_to_do(self) -> bool:
        return self.plan.is_empty and not self.resends_secrets

    def note(self, text: str) -> None:
        self.work.log.note(text)

    def wait(self, seconds: float, why: str) -> None:
        """Waiting that a stop ends."""
        self.note(why)
        if self.work.stopping.wait(seconds):
            self.work.check()

    def keep(self, **fields: object) -> None:
        """On the row of this run."""
        for name, value in fields.items():
            setattr(self.row, name, value)
        patiently(lambda: Sync.objects.filter(pk=self.row.pk).update(**fields), seconds=PATIENCE)


@contextmanager
def session_opened(work: Work, row: Sync) -> Iterator[Session]:
    """Everything about the run's node, its client open and its token masked. Raises RunFailed when it is gone."""
    node = node_of(row)
    _masked(work, node)

    def pause(seconds: float, why: str) -> None:
        work.log.note(why)
        if work.stopping.wait(seconds):
            work.check()

    with (
        doors.node_opened(node, patience=doors.WORKING, pause=pause) as client,
        work.on_stop(lambda _: client.interrupt()),
    ):
        session = Session(work=work, row=row, node=node, client=client, rules=Rules.of(node))
        session.keep(node_url=node.url)
        yield session


@contextmanager
def time_to_put_right(work: Work) -> Iterator[None]:
    """While the block runs, a run that must end gets the time to read back and to put back."""
    before, work.grace = work.grace, GRACE
    try:
        yield
    finally:
        work.grace = before


@contextmanager
def firm_client(work: Work, node: Node) -> Iterator[NodeClient]:
    """A door that no stop closes, with a patience of its own: for reading back and putting back."""
    deadline = time.monotonic() + UNDO_PATIENCE

    def pause(seconds: float, why: str) -> None:
        if time.monotonic() + seconds > deadline:
            raise NodeFault(f"{why} The time for putting things right is over.")
        work.log.note(why)
        time.sleep(seconds)

    with doors.node_opened(node, patience=doors.UNDOING, pause=pause) as client:
        yield client


def node_of(row: Sync) -> Node:
    if row.node is None:
        raise RunFailed(f"The node {row.node_name} is gone.")
    return row.node


def _masked(work: Work, node: Node) -> None:
    store = node.secret_store
    try:
        for secret in (node.jwt, *((store.token, store.secret_id) if store is not None else ())):
            work.mask(secret)
    except DecryptionError as error:
        raise RunFailed(str(error), "Enter the token again.") from None
