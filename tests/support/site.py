"""A whole site for tests of deployments: hosts, a repository, an environment that joins them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from apps.access.actor import Actor, Door
from apps.environments import services
from apps.environments.models import Cluster, Deployment, Environment, Host
from apps.environments.release import Release, parsed
from apps.runs.models import Cause, Run, Step
from tests.support.gitrepo import GitRepo
from tests.support.runner import log_text, run_now
from tests.support.sshd import Fleet

if TYPE_CHECKING:
    from apps.repos.models import Repository

OPERATOR = Actor(user=None, door=Door.COMMAND)


@dataclass
class Site:
    """`site.deploy()` deploys for real, in a runner process, and returns the ended run."""

    fleet: Fleet
    repo: GitRepo
    repository: Repository
    environment: Environment
    hosts: list[Host]

    def target(self, number: int) -> Path:
        """The target path of host `number` (from 0), as seen from here."""
        return self.fleet[number].root / "shop"

    def live(self, number: int) -> Path:
        """The folder that is live on that host, as seen from here."""
        target = self.target(number)
        if not target.is_symlink():
            return target
        return self.fleet[number].root / target.readlink().relative_to(self.fleet.disk)

    def request(self, **given: Any) -> Deployment:
        wish: dict[str, Any] = {"environment": self.environment, "actor": OPERATOR, "cause": Cause.COMMAND} | given
        return services.deploy_request(**wish)

    def deploy(self, **given: Any) -> Run:
        return self.carry_out(self.request(**given))

    def rollback(self, **given: Any) -> Run:
        wish: dict[str, Any] = {"environment": self.environment, "actor": OPERATOR, "cause": Cause.COMMAND} | given
        return self.carry_out(services.rollback_request(**wish))

    def preview(self, **given: Any) -> Run:
        wish: dict[str, Any] = {"environment": self.environment, "actor": OPERATOR, "cause": Cause.COMMAND} | given
        return run_now(services.preview_request(**wish))

    def carry_out(self, deployment: Deployment) -> Run:
        assert deployment.run is not None
        run = run_now(deployment.run)
        self.environment.refresh_from_db()
        return run

    def release(self, number: int) -> Release | None:
        """What the release file on that host says."""
        file = self.live(number) / ".git_release"
        return parsed(file.read_text()) if file.exists() else None

    def releases(self, number: int) -> list[str]:
        folder = self.target(number).parent / "shop_releases"
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))

    def files(self, number: int) -> dict[str, str]:
        """The live files on that host, by path."""
        root = self.live(number)
        return {
            str(path.relative_to(root)): path.read_text(errors="replace")
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.name != ".git_release"
        }


def cell(run: Run, stage: str, host: str = "") -> Step:
    return Step.objects.get(run=run, stage=stage, host=host)


def script_until(path: Path) -> str:
    """A script that ends as soon as this file is there (or after a minute): what holds a run where it is."""
    return f"#!/bin/sh\nfor _ in $(seq 1200); do [ -e '{path}' ] && exit; sleep 0.05; done\nexit 1\n"


def explain(run: Run) -> str:
    """For the message of a failed assertion."""
    return f"{run.state}: {run.summary}\n{log_text(run)}"


Build = Callable[..., Site]


@pytest.fixture
def site(transactional_db: None, sshd_fleet: Callable[..., Fleet], git_repo: Callable[..., GitRepo]) -> Build:
    """A factory: `site(3, method="inplace")`. One commit is pushed already."""

    def build(count: int = 1, **fields: Any) -> Site:
        fleet = sshd_fleet(count)
        repo = git_repo("shop")
        repo.commit({"index.html": "one\n", "css/site.css": "body {}\n"}, "Open the shop")
        repository = repo.declare()
        hosts = fleet.declare()
        cluster = Cluster.objects.create(name="blue")
        cluster.hosts.set(hosts)
        environment = Environment(
            repository=repository,
            name="prod",
            **{"target_path": str(fleet.disk / "shop"), "method": "inplace", "stop_grace": 1} | fields,
        )
        environment.save()
        environment.clusters.add(cluster)
        return Site(fleet, repo, repository, environment, hosts)

    return build
