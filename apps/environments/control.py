"""What the control page shows, as plain data: made from rows and answers already read, without any I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from apps.runs.notices import Badge, Banner, freeze_banner, hours_banners, paused_banner
from apps.runs.states import ENDED, RunState
from apps.runs.wording import moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from apps.access.decision import Decision
    from apps.access.models import Freeze
    from apps.environments.models import Cluster, Deployment, Environment, Host, HostRelease

# Hosts may differ for as long as a deployment is under way; beyond this it is worth a banner.
DIFFERS_AFTER = timedelta(minutes=30)


@dataclass(frozen=True, kw_only=True)
class HostLine:
    """One host of the environment and what it was last seen to run."""

    host: Host
    badge: Badge
    release: HostRelease | None
    commit_subject: str = ""

    @property
    def is_current(self) -> bool:
        return self.badge.tone == "good"


@dataclass(frozen=True, kw_only=True)
class ClusterLines:
    """One cluster with its hosts, in the order of their names."""

    cluster: Cluster
    lines: tuple[HostLine, ...]

    @property
    def tally(self) -> Badge:
        total, current = len(self.lines), sum(line.is_current for line in self.lines)
        if not total:
            return Badge(text="no hosts", tone="warn")
        return Badge(text=f"{current} of {total} in sync", tone="good" if current == total else "idle")


def host_badge(
    host: Host, release: HostRelease | None, environment: Environment, failed_hosts: frozenset[str]
) -> Badge:
    """The state of one host: what is known for certain, the worst first."""
    if not host.active:
        return Badge(text="Inactive", hint="Left out of deployments.")
    if host.name in failed_hosts:
        return Badge(text="Failed", tone="bad", hint="The last deployment failed on this host.")
    if release is None:
        return Badge(text="Unknown", hint="Nobody has asked this host yet.")
    if release.error:
        return Badge(text="Unreachable", tone="bad", hint=release.error)
    if release.in_progress:
        return Badge(text="In progress", tone="warn", hint="The release file says that a deployment has not finished.")
    return _commit_badge(release.commit, environment.deployed_commit)


def _commit_badge(commit: str, deployed: str) -> Badge:
    if not commit:
        return Badge(text="Nothing deployed")
    if not deployed:
        return Badge(text="Unknown", hint="The panel has not deployed this environment yet.")
    if commit == deployed:
        return Badge(text="In sync", tone="good")
    return Badge(text="Differs", tone="warn", hint=f"Runs {commit[:8]}, not {deployed[:8]}.")


def fleet(
    environment: Environment,
    clusters: Iterable[Cluster],
    releases: Mapping[int, HostRelease],
    subjects: Mapping[str, str],
    failed_hosts: frozenset[str],
) -> tuple[ClusterLines, ...]:
    """The environment's hosts by cluster. `releases` is keyed by host, `subjects` by commit; hosts are prefetched."""

    def line(host: Host) -> HostLine:
        release = releases.get(host.pk)
        return HostLine(
            host=host,
            badge=host_badge(host, release, environment, failed_hosts),
            release=release,
            commit_subject=subjects.get(release.commit, "") if release else "",
        )

    return tuple(
        ClusterLines(cluster=cluster, lines=tuple(line(host) for host in cluster.hosts.all())) for cluster in clusters
    )


def headline(environment: Environment, last: Deployment | None, running: bool, now: datetime) -> Badge:
    """The one word on top of the page."""
    if running:
        return Badge(text="Deploying", tone="info dp-busy")
    if differs(environment, now):
        return Badge(text="Hosts differ", tone="warn")
    if last is not None and last.state in ENDED and last.state != RunState.SUCCEEDED:
        return Badge(text=f"Last run {RunState(last.state).label.lower()}", tone="bad")
    if not environment.deployed_commit:
        return Badge(text="Never deployed")
    return Badge(text="Deployed", tone="good")


def differs(environment: Environment, now: datetime) -> bool:
    """Whether the hosts have run different commits for too long."""
    return environment.differs_since is not None and now - environment.differs_since >= DIFFERS_AFTER


def banners(
    environment: Environment,
    *,
    freezes: Sequence[Freeze],
    decision: Decision,
    lines: Sequence[HostLine],
    may_act: bool,
    now: datetime,
) -> list[Banner]:
    """Everything that stands in the way, or soon will; the gravest first."""
    found = [freeze_banner(freeze) for freeze in freezes]
    found += hours_banners(decision)
    found += _auto_banners(environment, may_act)
    found += _fleet_banners(environment, lines, now)
    if environment.repository.fetch_error:
        found.append(
            Banner(tone="warn", title="The last fetch failed.", text=environment.repository.fetch_error.split("\n")[0])
        )
    return found


def _auto_banners(environment: Environment, may_act: bool) -> list[Banner]:
    if not environment.auto_deploy:
        return []
    if environment.auto_paused_at is not None:
        title = "Automatic deployment is paused."
        return [paused_banner(title, environment.auto_paused_reason, may_act=may_act)]
    if environment.deploy_as_id is None:
        text = "No account is named under “deploy as”, so pushes deploy nothing."
        return [Banner(tone="warn", title="Automatic deployment has nobody to act as.", text=text)]
    return []


def _fleet_banners(environment: Environment, lines: Sequence[HostLine], now: datetime) -> list[Banner]:
    if not lines:
        text = "Add a cluster with hosts on the Configure page; until then nothing can be deployed."
        return [Banner(tone="warn", title="This environment has no hosts.", text=text)]
    found = []
    if unpinned := sorted({line.host.name for line in lines if line.host.active and not line.host.host_key}):
        text = f"{', '.join(unpinned)}: scan the host's key and confirm its fingerprint, or it is refused."
        found.append(Banner(tone="warn", title="No pinned host key.", text=text))
    if differs(environment, now):
        names = sorted({line.host.name for line in lines if line.badge.text == "Differs"})
        since = moment(environment.differs_since) if environment.differs_since else ""
        text = f"Since {since}" + (f": {', '.join(names)}." if names else ".")
        found.append(Banner(tone="warn", title="Not every host runs the same commit.", text=text))
    return found
