"""What a declaration says of Sesam: secret stores, nodes, and the extra nodes of multi-node masters."""

from __future__ import annotations

from deploypanel.declaration.fields import Boolean, Integer, Reference, Secret, Text, Texts
from deploypanel.declaration.spellings import LongText, NumberOrNothing, OneOrMore, TextByAnyName
from deploypanel.declaration.stored_secrets import StoredSecrets

STORE = (
    Text(key="name", required=True),
    Text(key="kind"),
    Text(key="url"),
    Integer(key="kv_version"),
    Text(key="mount"),
    Text(key="path_prefix"),
    Text(key="field"),
    Text(key="auth"),
    Text(key="auth_mount"),
    Text(key="namespace"),
    Secret(key="token"),
    Text(key="role_id"),
    Secret(key="secret_id"),
    LongText(key="ca_bundle"),
    StoredSecrets(key="secrets", late=True),
)

NODE = (
    Text(key="name", required=True),
    Boolean(key="enabled"),
    Text(key="url"),
    Secret(key="jwt"),
    LongText(key="ca_bundle"),
    Boolean(key="verify_tls"),
    Reference(key="repository", section="repositories", noun="repository"),
    Text(key="branch"),
    Text(key="layout"),
    TextByAnyName(key="sync_root", alias="root"),
    Text(key="environment"),
    OneOrMore(key="variables", attribute="variables_files"),
    Text(key="whitelist", attribute="whitelist_file"),
    Texts(key="verify"),
    Texts(key="upload"),
    Reference(key="secret_store", section="secret_stores", noun="secret store"),
    Text(key="config_group"),
    Texts(key="protected"),
    Texts(key="ignore"),
    Boolean(key="orchestrator"),
    Text(key="apply", attribute="apply_mode"),
    NumberOrNothing(key="interval", spoken=True),
    Reference(key="hours", section="business_hours", noun="calendar of business hours"),
    Reference(key="sync_as", section="users", noun="user"),
    Integer(key="removal_limit"),
    Integer(key="removal_share"),
    Integer(key="keep_snapshots"),
    Integer(key="snapshot_days"),
    Integer(key="time_limit"),
)

EXTRA = (
    Reference(key="master", section="nodes", noun="node", required=True),
    Text(key="name", required=True),
    Text(key="template_path", required=True),
    Boolean(key="proxy"),
    Reference(key="repository", section="repositories", noun="repository"),
    Text(key="branch"),
    Reference(key="node", section="nodes", noun="node"),
)
