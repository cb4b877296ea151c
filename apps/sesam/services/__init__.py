"""Every act on nodes."""

from __future__ import annotations

from apps.sesam.services.automatic import SyncOutcome, sync_automatic, sync_push, sync_wanted
from apps.sesam.services.history import syncs_lighten
from apps.sesam.services.look import plan_request, verify_request
from apps.sesam.services.node import node_check_request, node_pause, node_resume
from apps.sesam.services.owed import owed_pay
from apps.sesam.services.restore import restore_request
from apps.sesam.services.snapshots import snapshots_prune
from apps.sesam.services.state import node_state_set
from apps.sesam.services.sync import sync_request

__all__ = [
    "SyncOutcome",
    "node_check_request",
    "node_pause",
    "node_resume",
    "node_state_set",
    "owed_pay",
    "plan_request",
    "restore_request",
    "snapshots_prune",
    "sync_automatic",
    "sync_push",
    "sync_request",
    "sync_wanted",
    "syncs_lighten",
    "verify_request",
]
