"""The table of sections: what a declaration may say, in the order in which it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib.auth.models import Group, User

from apps.access.models import BusinessHours, SshKey
from apps.agents.models import Agent
from apps.environments.models import Cluster, Environment, Host
from apps.files.models import CacheSettings
from apps.repos.models import Repository
from apps.sesam.models import ExtraNode, Node, SecretStore
from apps.triggers.models import Trigger
from deploypanel.declaration.fields import (
    Boolean,
    Field,
    Integer,
    Reference,
    References,
    Secret,
    Text,
    TextMap,
    Texts,
    Time,
    natural,
)
from deploypanel.declaration.files import CACHE
from deploypanel.declaration.grants import Grants
from deploypanel.declaration.passwords import Password
from deploypanel.declaration.private_keys import PrivateKey
from deploypanel.declaration.sesam import EXTRA, NODE, STORE
from deploypanel.declaration.triggers import AGENT, TRIGGER

if TYPE_CHECKING:
    from django.db import models


@dataclass(frozen=True, kw_only=True)
class Section:
    """One list of the file, or one mapping. `identity` names the keys that say which object an entry means."""

    name: str
    noun: str
    model: type[models.Model]
    fields: tuple[Field, ...]
    identity: tuple[str, ...] = ("name",)
    single: str = ""  # not a list but one mapping, of the one object that there is: what it is called

    def field_of(self, key: str) -> Field | None:
        return next((field for field in self.fields if key in field.keys), None)

    @property
    def keys(self) -> list[str]:
        return [key for field in self.fields for key in field.keys]

    def existing(self) -> dict[str, models.Model]:
        """All objects of the section by what the file calls them."""
        many = [one.name for one in self.fields if isinstance(one, References)]
        single = [one.name for one in self.fields if isinstance(one, Reference) and one.name not in many]
        rows = self.model._default_manager.select_related(*single) if single else self.model._default_manager.all()
        if self.single:
            row = rows.order_by("pk").first()
            return {self.single: row} if row else {}
        found = {natural(instance): instance for instance in rows.prefetch_related(*many).order_by("pk")}
        found.pop("", None)  # a trigger of no name, which an old client may make: no file can mean it
        return found


SECTIONS = (
    Section(
        name="ssh_keys",
        noun="SSH key",
        model=SshKey,
        fields=(Text(key="name", required=True), PrivateKey(key="private_key", required=True)),
    ),
    Section(
        name="business_hours",
        noun="calendar of business hours",
        model=BusinessHours,
        fields=(
            Text(key="name", required=True),
            Text(key="timezone", required=True),
            Text(key="country"),
            Text(key="subdivision"),
            TextMap(key="weekly"),
            Time(key="half_day_until"),
            Texts(key="closed"),
            TextMap(key="open"),
        ),
    ),
    Section(
        name="hosts",
        noun="host",
        model=Host,
        fields=(
            Text(key="name", required=True),
            Text(key="address", required=True),
            Integer(key="port"),
            Text(key="user", required=True),
            Reference(key="ssh_key", section="ssh_keys", noun="SSH key", required=True),
            Reference(key="jump_host", section="hosts", noun="host", late=True),
            Boolean(key="active"),
            Texts(key="labels"),
            Text(key="host_key"),
        ),
    ),
    Section(
        name="clusters",
        noun="cluster",
        model=Cluster,
        fields=(Text(key="name", required=True), References(key="hosts", section="hosts", noun="host")),
    ),
    Section(
        name="groups",
        noun="group",
        model=Group,
        fields=(Text(key="name", required=True), Grants(key="grants", late=True)),
    ),
    Section(
        name="users",
        noun="user",
        model=User,
        fields=(
            Text(key="name", attribute="username", required=True),
            Password(key="password"),
            Text(key="email"),
            Text(key="first_name"),
            Text(key="last_name"),
            Boolean(key="active", attribute="is_active"),
            Boolean(key="staff", attribute="is_staff"),
            Boolean(key="superuser", attribute="is_superuser"),
            References(key="groups", section="groups", noun="group"),
            Grants(key="grants", late=True),
        ),
    ),
    Section(
        name="repositories",
        noun="repository",
        model=Repository,
        fields=(
            Text(key="name", required=True),
            Text(key="url", required=True),
            Reference(key="ssh_key", section="ssh_keys", noun="SSH key"),
            Text(key="username"),
            Secret(key="access_token"),
            Text(key="host_keys"),
            Secret(key="webhook_secret"),
            Secret(key="webhook_secret_old"),
            References(key="owners", section="users", noun="user"),
            Integer(key="poll_interval"),
            Reference(key="hours", section="business_hours", noun="calendar of business hours"),
        ),
    ),
    Section(
        name="environments",
        noun="environment",
        model=Environment,
        identity=("repository", "name"),
        fields=(
            Reference(key="repository", section="repositories", noun="repository", required=True),
            Text(key="name", required=True),
            Integer(key="order"),
            Text(key="branch"),
            Text(key="path", attribute="target_path", required=True),
            Text(key="user", attribute="remote_user"),
            Text(key="method"),
            References(key="clusters", section="clusters", noun="cluster"),
            Boolean(key="auto_deploy"),
            Reference(key="deploy_as", section="users", noun="user"),
            Reference(key="hours", section="business_hours", noun="calendar of business hours"),
            Text(key="rsync_options"),
            Integer(key="keep_releases"),
            Integer(key="parallel"),
            Texts(key="shared_paths"),
            Integer(key="tolerated_failures"),
            Boolean(key="fail_on_tests"),
            Integer(key="time_limit"),
            Integer(key="silence_limit"),
            Integer(key="stop_grace"),
        ),
    ),
    Section(name="secret_stores", noun="secret store", model=SecretStore, fields=STORE),
    Section(name="nodes", noun="node", model=Node, fields=NODE),
    Section(name="extra_nodes", noun="extra node", model=ExtraNode, fields=EXTRA, identity=("master", "name")),
    Section(name="agents", noun="agent", model=Agent, fields=AGENT),
    Section(name="triggers", noun="trigger", model=Trigger, fields=TRIGGER),
    Section(name="file_cache", noun="file cache", model=CacheSettings, fields=CACHE, single="settings"),
)

BY_NAME = {section.name: section for section in SECTIONS}
