"""The kinds of work. Each app above registers its own here, so that `runs` needs to know none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apps.access.decision import Decision
    from apps.runs.models import Run
    from apps.runs.work import Work


class RunKind:
    """One kind of work. Subclass it, give it a name, register one instance in the app's `ready()`."""

    name: str  # as kept in Run.kind
    label: str  # as people read it: "Deployment"
    stages: tuple[str, ...] = ()  # columns of the run's matrix, in order

    def findings(self, run: Run) -> tuple[str, str]:
        """What leads from the run's page to what it found: a label, and an address. Empty: there is no such page."""
        return "", ""

    def admit(self, run: Run) -> Decision:
        """The gate's answer now: asked when a waiting run's time comes, and by the runner before it begins."""
        raise NotImplementedError

    def execute(self, work: Work) -> None:
        """Do it, in the runner process. Return for success; raise RunFailed for an expected failure."""
        raise NotImplementedError

    def moved(self, run: Run) -> None:
        """The run's state has changed; called inside that transaction, so that copies of the state never differ."""

    def clean_up(self, run: Run) -> None:
        """The run is lost: end what it left on hosts. In a worker; may be called twice."""

    def settle(self, run: Run) -> None:
        """What follows the end, once, however it ended. In a worker, outside any transaction."""


_kinds: dict[str, RunKind] = {}


def register(kind: RunKind) -> None:
    _kinds[kind.name] = kind


def kind_named(name: str) -> RunKind:
    """The registered kind; KeyError when no app has registered it."""
    return _kinds[name]


def kinds() -> tuple[RunKind, ...]:
    return tuple(_kinds.values())
