"""Every act on environments and hosts."""

from __future__ import annotations

from apps.environments.services.auto_deploy import PushOutcome, auto_deploy_push, auto_pause, auto_resume
from apps.environments.services.deploy import deploy_request
from apps.environments.services.hosts import host_check, host_key_pin, host_scan
from apps.environments.services.preview import preview_request
from apps.environments.services.rollback import rollback_request
from apps.environments.services.script import script_request
from apps.environments.services.status import environment_status_read

__all__ = [
    "PushOutcome",
    "auto_deploy_push",
    "auto_pause",
    "auto_resume",
    "deploy_request",
    "environment_status_read",
    "host_check",
    "host_key_pin",
    "host_scan",
    "preview_request",
    "rollback_request",
    "script_request",
]
