"""The kinds of work. Each app above registers its own here, so that `runs` needs to know none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apps.access.decision import Decision
    from apps.runs.models import Run
    from apps.runs.work import Work


class RunKind:
    """One kind of work. Subclass it, give it a name, register one instance in the app's `ready()`."""

    name: str  # as kept in Run.kind
    label: str  # as people read it: "Deployment"
    stages: tuple[str, ...] = ()  # columns of the run's matrix, in order
    # Carried out by something that is no process of the panel's: no runner is started for it, `execute` is never
    # called, and who carries it out claims it, beats and ends it (`run_move`).
    is_remote = False

    def lost_after(self, run: Run) -> float:
        """Seconds of silence after which a run is given up."""
        return float(settings.RUN_LOST_AFTER)

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

    def moved_together(self, runs: Sequence[Run]) -> None:
        """The same for many runs that something else carried out and that have ended."""
        for run in runs:
            self.moved(run)

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


def remote_kinds() -> list[str]:
    """The names of the kinds for which no runner is ever started."""
    return [name for name, kind in _kinds.items() if kind.is_remote]


_followers: list[Callable[[Run], None]] = []


def follow_settled(follower: Callable[[Run], None]) -> None:
    """Have `follower` called once for each run that has ended, whatever its kind, after its kind's own `settle`."""
    if follower not in _followers:
        _followers.append(follower)


def followers() -> tuple[Callable[[Run], None], ...]:
    return tuple(_followers)
