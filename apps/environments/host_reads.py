"""Reads of hosts and clusters: who sees which, and what belongs to one."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from apps.access.errors import NotFound
from apps.access.levels import Level
from apps.access.permissions import is_person, subjects_visible
from apps.access.spelling import closest
from apps.environments.models import Cluster, Environment, Host

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet

# Connections are made in threads; what they need is read before, so that no thread asks the database.
CONNECTABLE = ("ssh_key", "jump_host__ssh_key", "jump_host__jump_host__ssh_key")

# A deployment may differ for a while, from its first host to its last; for longer than this something is wrong.
DIFFERING_AFTER = dt.timedelta(minutes=30)


def hosts_visible(user: User | AnonymousUser | None) -> QuerySet[Host]:
    """All for who manages hosts; for others those of the environments that they may see. None: the operator."""
    if user is None or _manages(user, "host"):
        return Host.objects.all()
    environments = subjects_visible(user, kind="environment").values("pk")
    return Host.objects.filter(pk__in=Host.objects.filter(clusters__environments__in=environments).values("pk"))


def clusters_visible(user: User | AnonymousUser | None) -> QuerySet[Cluster]:
    """As with hosts."""
    if user is None or _manages(user, "cluster"):
        return Cluster.objects.all()
    environments = subjects_visible(user, kind="environment").values("pk")
    return Cluster.objects.filter(pk__in=Cluster.objects.filter(environments__in=environments).values("pk"))


def environments_on(
    host: Host, user: User | AnonymousUser | None = None, least: Level = Level.VIEW
) -> QuerySet[Environment]:
    """The environments that deploy to this host, as far as `user` (None: the operator) holds that level on them."""
    environments = Environment.objects.filter(pk__in=Environment.objects.filter(clusters__hosts=host).values("pk"))
    if user is not None:
        environments = environments.filter(pk__in=subjects_visible(user, kind="environment", least=least).values("pk"))
    return environments.select_related("repository")


def host_named(name: str, user: User | None = None) -> Host:
    """The host of that name that `user` may see, ready to connect to; raises NotFound with the nearest name."""
    hosts = hosts_visible(user).select_related(*CONNECTABLE)
    host = hosts.filter(name=name).first()
    if host is None:
        raise NotFound(f"There is no host called “{name}”{closest(name, hosts.values_list('name', flat=True))}")
    return host


def cluster_named(name: str, user: User | None = None) -> Cluster:
    """The cluster of that name that `user` may see; raises NotFound with the nearest name."""
    clusters = clusters_visible(user)
    cluster = clusters.filter(name=name).first()
    if cluster is None:
        raise NotFound(f"There is no cluster called “{name}”{closest(name, clusters.values_list('name', flat=True))}")
    return cluster


def _manages(user: User | AnonymousUser, model: str) -> bool:
    return is_person(user) and any(user.has_perm(f"environments.{verb}_{model}") for verb in ("change", "view"))


def environments_differing(now: dt.datetime, user: User | AnonymousUser | None = None) -> QuerySet[Environment]:
    """The environments that `user` may see whose hosts have run different commits for over DIFFERING_AFTER."""
    environments = Environment.objects.filter(differs_since__lt=now - DIFFERING_AFTER)
    if user is not None:
        environments = environments.filter(pk__in=subjects_visible(user, kind="environment").values("pk"))
    return environments.select_related("repository").order_by("differs_since")
