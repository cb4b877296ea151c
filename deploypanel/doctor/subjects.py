"""Repositories, hosts and environments that cannot do their work."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from apps.access.fields import is_set
from apps.access.levels import Level
from apps.access.permissions import level_of
from apps.environments.models import Environment, Host
from apps.environments.selectors import hosts_of
from apps.repos.models import Repository
from apps.sesam.models import ApplyMode
from deploypanel.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

DIFFER_FOR = timedelta(minutes=30)


def repositories() -> Iterator[Finding]:
    for repository in Repository.objects.all():
        about = f"repository {repository.name}"
        if repository.fetch_error:
            remedy = f"manage.py repos fetch {repository.name}"
            yield Finding(about=about, text=f"cannot be fetched: {repository.fetch_error}", remedy=remedy)
        deploys = repository.environments.filter(auto_deploy=True).exists()
        syncs = repository.nodes.filter(enabled=True, apply_mode=ApplyMode.PUSH).exists()
        if (deploys or syncs) and not repository.poll_interval and not is_set(repository, "webhook_secret"):
            does = "deploys" if deploys else "syncs nodes"
            text = f"{does} on push, but has neither a webhook secret nor a poll interval: no push is ever seen"
            yield Finding(about=about, text=text, remedy="give it one of the two, on its page or in the declaration")


def hosts() -> Iterator[Finding]:
    for host in Host.objects.filter(active=True, host_key=""):
        remedy = f"manage.py hosts scan {host.name}, compare the fingerprint, confirm it"
        yield Finding(about=f"host {host.name}", text="has no pinned host key and is refused", remedy=remedy)


def environments() -> Iterator[Finding]:
    for environment in Environment.objects.select_related("deploy_as"):
        about = f"environment {environment.path}"
        if not any(host.active for host in hosts_of(environment)):
            yield Finding(about=about, text="has no active host", remedy="give it a cluster with an active host")
        yield from _automatic(environment, about)
        since = environment.differs_since
        if since and timezone.now() - since > DIFFER_FOR:
            text = f"has had hosts on different commits since {since:%d %b %Y %H:%M}"
            yield Finding(about=about, text=text, remedy=f"manage.py deploy {environment.path}")


def _automatic(environment: Environment, about: str) -> Iterator[Finding]:
    if not environment.auto_deploy:
        return
    if environment.deploy_as is None:
        text = "deploys on push, but as nobody (deploy_as)"
        yield Finding(about=about, text=text, remedy="name a user whose rights count for automatic deployments")
        return
    who = environment.deploy_as
    if not who.is_superuser and level_of(who, environment) < Level.IN_HOURS:
        text = f"deploys on push as {who.get_username()}, who may not deploy there"
        yield Finding(about=about, text=text, remedy=f"grant {who.get_username()} “deploy” on {environment.path}")
