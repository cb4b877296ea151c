"""Reads of environments: who sees which, which hosts are meant, and what can be gone back to."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Q

from apps.access.errors import InputError, NotFound
from apps.access.levels import Level
from apps.access.permissions import subjects_visible
from apps.environments.host_reads import CONNECTABLE
from apps.environments.models import Action, Deployment, Environment, Host, HostRelease
from apps.runs.states import ALIVE, RunState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet

    from apps.environments.models import Cluster, ScriptOrder

PAST = 200  # deployments looked at for the one before


@dataclass(frozen=True, kw_only=True)
class ReleaseChoice:
    """A release that hosts still have, or had when the panel last looked."""

    commit: str
    branch: str
    folder: str
    deployed_at: dt.datetime | None
    commit_subject: str
    commit_author: str
    hosts: int
    everywhere: bool  # all active hosts have it: going back is a matter of seconds
    live: bool = False

    @property
    def subject(self) -> str:
        return self.commit_subject


def environments_visible(user: User | AnonymousUser | None, least: Level = Level.VIEW) -> QuerySet[Environment]:
    """Those on which `user` (None: the operator) holds that level."""
    found = Environment.objects.select_related("repository")
    if user is None:
        return found
    return found.filter(pk__in=subjects_visible(user, "environment", least).values("pk"))


def environment_named(path: str, user: User | AnonymousUser | None = None) -> Environment:
    """The environment `REPOSITORY/NAME` that `user` may see; raises NotFound with those there are."""
    visible = environments_visible(user)
    found = visible.filter(path=path).first()
    if found is None:
        names = ", ".join(visible.values_list("path", flat=True)[:10]) or "none"
        raise NotFound(f"There is no environment “{path}” (REPOSITORY/NAME); there are: {names}.")
    return found


def hosts_of(environment: Environment, cluster: Cluster | None = None, host: Host | None = None) -> list[Host]:
    """All hosts that a deployment to this target means, inactive ones too, by name, ready to connect to.

    Raises InputError for a cluster or host that does not belong to the environment.
    """
    hosts = Host.objects.filter(clusters__environments=environment)
    if cluster is not None:
        if not environment.clusters.filter(pk=cluster.pk).exists():
            raise InputError(f"{environment.path} does not deploy to the cluster {cluster.name}.")
        hosts = hosts.filter(clusters=cluster)
    if host is not None:
        if not hosts.filter(pk=host.pk).exists():
            raise InputError(f"{environment.path} does not deploy to the host {host.name}.")
        hosts = hosts.filter(pk=host.pk)
    wanted = Host.objects.filter(pk__in=hosts.values("pk"))
    return list(wanted.select_related(*CONNECTABLE).order_by("name"))


def script_hosts(order: ScriptOrder) -> list[Host]:
    """All hosts that a script's run means, inactive ones too, by name, ready to connect to."""
    meant = Q(pk__in=order.hosts.values("pk"))
    if order.cluster_id is not None:
        meant |= Q(clusters=order.cluster_id)
    wanted = Host.objects.filter(pk__in=Host.objects.filter(meant).values("pk"))
    return list(wanted.select_related(*CONNECTABLE).order_by("name"))


def deployments_in_the_way(deployment: Deployment) -> list[Deployment]:
    """Unfinished deployments, begun before this one, to the same folder on one of the same hosts."""
    environment, run = deployment.environment, deployment.run
    assert environment is not None
    assert run is not None
    earlier = Q(run__started_at__lt=run.started_at) | Q(run__started_at=run.started_at, run_id__lt=run.pk)
    others = Deployment.objects.filter(earlier, run__state__in=ALIVE).exclude(environment=None)
    folder = environment.target_path.rstrip("/")
    mine = {host.pk for host in hosts_of(environment, deployment.cluster, deployment.host)}
    found = []
    for other in others.exclude(pk=deployment.pk).select_related("environment", "cluster", "host", "run"):
        assert other.environment is not None
        if other.environment.target_path.rstrip("/") != folder:
            continue
        if mine & {host.pk for host in hosts_of(other.environment, other.cluster, other.host)}:
            found.append(other)
    return found


def commit_before(environment: Environment) -> str:
    """The commit that was live before the one that is now; empty when none is known."""
    done = environment.deployments.filter(state=RunState.SUCCEEDED, action=Action.DEPLOY, target="")
    commits = list(done.exclude(commit="").order_by("-id").values_list("commit", flat=True)[:PAST])
    now = environment.deployed_commit
    start = commits.index(now) if now in commits else 0
    return next((commit for commit in commits[start:] if commit != now), "")


def releases_available(environment: Environment) -> list[ReleaseChoice]:
    """What can be gone back to, newest first; one entry for each commit that is not live."""
    active = {host.pk for host in hosts_of(environment) if host.active}
    rows = list(HostRelease.objects.filter(environment=environment, host_id__in=active))
    seen: dict[str, dict[int, dict[str, str]]] = {}
    for row in rows:
        for release in row.releases:
            if release.get("commit") and not release.get("in_progress"):
                seen.setdefault(release["commit"], {}).setdefault(row.host_id, release)
    live = {row.commit for row in rows if row.commit}
    told = _told(environment, seen)
    choices = [
        _choice(commit, by_host, told.get(commit, ("", "")), active)
        for commit, by_host in seen.items()
        if commit not in live
    ]
    return sorted(choices, key=lambda choice: choice.deployed_at.timestamp() if choice.deployed_at else 0, reverse=True)


def _choice(commit: str, by_host: dict[int, dict[str, str]], told: tuple[str, str], active: set[int]) -> ReleaseChoice:
    newest = max(by_host.values(), key=lambda release: release.get("deployed_at") or "")
    at = newest.get("deployed_at")
    return ReleaseChoice(
        commit=commit,
        branch=newest.get("branch", ""),
        folder=newest.get("folder", ""),
        deployed_at=dt.datetime.fromisoformat(at) if at else None,
        commit_subject=told[0],
        commit_author=told[1],
        hosts=len(by_host),
        everywhere=active <= set(by_host),
    )


def _told(environment: Environment, commits: Iterable[str]) -> dict[str, tuple[str, str]]:
    rows = environment.deployments.filter(commit__in=list(commits)).order_by("id")
    return {
        commit: (subject, author)
        for commit, subject, author in rows.values_list("commit", "commit_subject", "commit_author")
    }
