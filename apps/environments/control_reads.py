"""What the control page reads, each thing once. It decides nothing: control.py turns the rows into what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.paginator import Page, Paginator
from django.utils import timezone

from apps.access import gate
from apps.access.levels import Level
from apps.access.selectors import freezes_on
from apps.environments import control
from apps.environments.models import Action, Deployment, HostRelease
from apps.environments.services.deploy import targets_rule
from apps.runs.bars import Bar, duration_bars
from apps.runs.models import Step
from apps.runs.selectors import runs_unfinished
from apps.runs.situation import Situation
from apps.runs.states import ALIVE, ENDED, RunState, StepState

if TYPE_CHECKING:
    from apps.access.actor import Actor
    from apps.environments.models import Environment

HISTORY_PAGE = 15
PLOTTED = 30


@dataclass(frozen=True, kw_only=True)
class EnvironmentSituation(Situation):
    """An environment as it stands at one moment, for one person."""

    environment: Environment
    last: Deployment | None
    live: Deployment | None  # the newest that succeeded: its subject and author name the deployed commit
    fleet: tuple[control.ClusterLines, ...]

    @property
    def lines(self) -> list[control.HostLine]:
        return [line for cluster in self.fleet for line in cluster.lines]

    @property
    def hosts_total(self) -> int:
        return len({line.host.pk for line in self.lines})


def situation_read(*, environment: Environment, actor: Actor, level: Level) -> EnvironmentSituation:
    """Everything about `environment` that `actor` needs before acting on it."""
    now = timezone.now()
    extra = [targets_rule(environment, None, None)]
    decision = gate.decide(actor=actor, act=gate.Act.ACT, subject=environment, at=now, extra=extra)
    last = environment.deployments.select_related("run").first()
    live = environment.deployments.filter(state=RunState.SUCCEEDED, commit=environment.deployed_commit).first()
    runs = list(runs_unfinished([environment.pk]))
    active = next((run for run in runs if run.state != RunState.WAITING), None)
    fleet = _fleet(environment, last)
    lines = [line for cluster in fleet for line in cluster.lines]
    return EnvironmentSituation(
        environment=environment,
        level=level,
        decision=decision,
        last=last,
        live=live if environment.deployed_commit else None,
        active=active,
        waiting=tuple(run for run in runs if run.state == RunState.WAITING),
        fleet=fleet,
        banners=tuple(
            control.banners(
                environment,
                freezes=list(freezes_on(environment, now)),
                decision=decision,
                lines=lines,
                may_act=level >= Level.IN_HOURS,
                now=now,
            )
        ),
        headline=control.headline(environment, last, active is not None and active.state in ALIVE, now),
    )


def _fleet(environment: Environment, last: Deployment | None) -> tuple[control.ClusterLines, ...]:
    clusters = list(environment.clusters.prefetch_related("hosts"))
    releases = {row.host_id: row for row in HostRelease.objects.filter(environment=environment)}
    commits = {row.commit for row in releases.values() if row.commit}
    subjects = dict(environment.deployments.filter(commit__in=commits).values_list("commit", "commit_subject"))
    return control.fleet(environment, clusters, releases, subjects, _hosts_failed(last))


def _hosts_failed(last: Deployment | None) -> frozenset[str]:
    """The hosts on which the newest deployment failed; nothing when it succeeded or its run is pruned."""
    if last is None or last.run_id is None or last.state not in ENDED or last.state == RunState.SUCCEEDED:
        return frozenset()
    failed = Step.objects.filter(run_id=last.run_id, state=StepState.FAILED).exclude(host="")
    return frozenset(failed.values_list("host", flat=True))


def history_page(environment: Environment, number: str) -> Page[Deployment]:
    """One page of the environment's deployments, newest first; a page that does not exist is the nearest that does."""
    rows = environment.deployments.select_related("run").order_by("-id")
    return Paginator(rows, HISTORY_PAGE).get_page(number)


def durations_recent(environment: Environment) -> list[Bar]:
    """The last deployments that had a start and an end, as bars. Rollbacks copy nothing, so they are left out."""
    rows = environment.deployments.filter(
        action=Action.DEPLOY, started_at__isnull=False, ended_at__isnull=False
    ).order_by("-id")[:PLOTTED]
    return duration_bars(rows)
