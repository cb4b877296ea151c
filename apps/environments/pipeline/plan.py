"""What one run is to do, and where. Made once, in the runner; nothing below asks the database again."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apps.environments.models import Method
from apps.environments.release import Release, releases_folder, shared_folder
from apps.environments.rsync import options_parsed
from apps.environments.selectors import deployments_in_the_way, hosts_of
from apps.runs.errors import RunFailed

if TYPE_CHECKING:
    from apps.environments.models import Cluster, Deployment, Environment, Host
    from apps.repos.models import Repository


@dataclass(kw_only=True)
class Plan:
    """One run on one environment."""

    run_id: int
    environment: Environment
    repository: Repository
    hosts: list[Host]  # the active ones
    skipped: list[str]  # names of inactive ones
    options: list[str]
    branch: str = ""
    commit: str = ""
    release: str = ""  # the release folder, known when the hosts have said what they have
    files: int = 0  # in the tree
    scripts: set[str] = field(default_factory=set)  # of those that run on hosts, what the tree has

    @property
    def symlink(self) -> bool:
        return self.environment.method == Method.SYMLINK

    @property
    def target_path(self) -> str:
        return self.environment.target_path.rstrip("/")

    @property
    def releases(self) -> str:
        """The folder of the releases; empty in place."""
        return releases_folder(self.target_path, self.repository.name) if self.symlink else ""

    @property
    def shared(self) -> str:
        return shared_folder(self.target_path, self.repository.name) if self.symlink else ""

    @property
    def link(self) -> str:
        """The name under which the new link is made, before it takes the target's place."""
        return link_name(self.target_path, self.run_id)

    @property
    def word(self) -> str:
        return f"run-{self.run_id}"

    @property
    def user(self) -> str:
        return self.environment.remote_user

    @property
    def shared_paths(self) -> list[str]:
        return [str(path) for path in self.environment.shared_paths]

    def release_file(self, *, in_progress: bool) -> str:
        return Release(
            branch=self.branch, commit=self.commit, at=None, folder=self.release, in_progress=in_progress
        ).text()


def link_name(target_path: str, run_id: int) -> str:
    folder, name = posixpath.split(target_path.rstrip("/"))
    return posixpath.join(folder, f".{name}.run-{run_id}")


def plan_made(run_id: int, environment: Environment, cluster: Cluster | None = None, host: Host | None = None) -> Plan:
    """The plan, with the configuration checked; raises RunFailed, InputError."""
    hosts = hosts_of(environment, cluster, host)
    active = [one for one in hosts if one.active]
    if not active:
        raise RunFailed(
            f"{environment.path} has no active host here.", "Activate a host, or give the environment a cluster."
        )
    return Plan(
        run_id=run_id,
        environment=environment,
        repository=environment.repository,
        hosts=active,
        skipped=[one.name for one in hosts if not one.active],
        options=options_parsed(environment.rsync_options, releases=environment.method == Method.SYMLINK),
    )


def conflicts_refused(deployment: Deployment) -> None:
    """Raises RunFailed when an unfinished deployment works on the same folder of the same hosts."""
    for other in deployments_in_the_way(deployment):
        raise RunFailed(
            f"Run #{other.run_number} deploys {other.environment_path} to the same folder of the same hosts.",
            "Wait for its end, or stop it. Two environments should not share a target path on a host.",
        )
