"""Rows as a busy installation has them, made directly: the pages are tested apart from the work."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.models import Freeze, SshKey
from apps.environments.models import Cluster, Deployment, Environment, Host, HostRelease
from apps.repos.models import Repository
from apps.runs.models import Cause, Run, Step
from apps.runs.states import ENDED, RunState, StepState

SUBJECTS = (
    "Show the delivery date in the cart",
    "Cache the catalogue for five minutes",
    "Fix the price of bundles with a voucher",
    "Let customers change their address",
    "Speed up the search by two thirds",
    "Translate the checkout into French",
)
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5dOHGlxbfR0Rze4YGKYK7UxNzDX3yI0IIAFpWgp2ks"


def sha(number: int) -> str:
    return f"{number * 2654435761 % 16**8:08x}" + f"{number:032x}"


def repository_make(name: str = "shop", **fields: Any) -> Repository:
    return Repository.objects.create(name=name, url=f"file:///srv/git/{name}.git", **fields)


def fleet_make(clusters: int = 2, hosts: int = 3) -> list[Cluster]:
    key, _ = SshKey.objects.get_or_create(name="fleet", defaults={"private_key": "not a key"})
    made = []
    for name, letter in list(zip(("blue", "green", "red"), "bgr", strict=True))[:clusters]:
        cluster, _ = Cluster.objects.get_or_create(name=name)
        for number in range(1, hosts + 1):
            host, _ = Host.objects.get_or_create(
                name=f"web-{letter}{number}",
                defaults={"address": f"10.0.0.{number}", "user": "deploy", "ssh_key": key, "host_key": HOST_KEY},
            )
            cluster.hosts.add(host)
        made.append(cluster)
    return made


def environment_make(
    repository: Repository, name: str = "prod", clusters: list[Cluster] | None = None, **fields: Any
) -> Environment:
    environment = Environment.objects.create(
        repository=repository, name=name, target_path=f"/srv/{repository.name}", **fields
    )
    environment.clusters.set(clusters or [])
    return environment


def deployment_make(
    environment: Environment,
    number: int,
    *,
    state: RunState = RunState.SUCCEEDED,
    ago: timedelta = timedelta(hours=3),
    took: float | None = 14.0,
    by: str = "alice",
    commit: str = "",
    **fields: Any,
) -> Deployment:
    """A run with its deployment. A successful one is what the environment then runs."""
    at = timezone.now() - ago
    user = User.objects.filter(username=by).first()
    ended = at + timedelta(seconds=took) if took is not None and state in ENDED else None
    run = Run.objects.create(
        kind="deploy",
        subject_id=environment.pk,
        subject_path=environment.path,
        state=state,
        cause=Cause.PERSON,
        requested_by=user,
        requested_name=by,
        started_at=at,
        ended_at=ended,
        time_limit=3600,
        silence_limit=900,
    )
    Run.objects.filter(pk=run.pk).update(requested_at=at)
    commit = commit or sha(number)
    deployment = Deployment.objects.create(
        run=run,
        run_number=run.pk,
        environment=environment,
        environment_path=environment.path,
        ref=environment.branch,
        branch=environment.branch,
        commit=commit,
        commit_subject=SUBJECTS[number % len(SUBJECTS)],
        commit_author="Shop Coder",
        state=state,
        requested_name=by,
        started_at=at,
        ended_at=ended,
        **fields,
    )
    Deployment.objects.filter(pk=deployment.pk).update(requested_at=at)
    if state == RunState.SUCCEEDED:
        environment.deployed_commit, environment.deployed_at = commit, ended or at
        environment.save()
    return deployment


def releases_make(environment: Environment, commits: dict[str, str], at: datetime | None = None) -> None:
    """What each host is known to run, by the host's name."""
    now = at or timezone.now()
    for name, commit in commits.items():
        HostRelease.objects.update_or_create(
            environment=environment,
            host=Host.objects.get(name=name),
            defaults={
                "branch": environment.branch,
                "commit": commit,
                "release": f"/srv/releases/{commit[:8]}",
                "deployed_at": now - timedelta(hours=2),
                "read_at": now,
            },
        )
    Environment.objects.filter(pk=environment.pk).update(status_read_at=now)


def freeze_make(environment: Environment | None, reason: str = "Stock-taking") -> Freeze:
    subject = environment.subject if environment else None
    return Freeze.objects.create(subject=subject, reason=reason, starts_at=timezone.now(), author_name="Olga")


def steps_make(run: Run, hosts: list[str], done: int) -> None:
    stages = ("copy", "switch", "verify")
    for position, stage in enumerate(stages):
        for number, host in enumerate(hosts):
            index = position * len(hosts) + number
            state = StepState.SUCCEEDED if index < done else StepState.PENDING
            Step.objects.create(run=run, host=host, stage=stage, position=position, state=state)
