"""What the panel knows about a node, in one word."""

from __future__ import annotations

from django.db import models


class NodeState(models.TextChoices):
    """Kept on the node's row with the time since when it is so. The worst that is known wins."""

    UNKNOWN = "unknown", "Not looked at"
    IN_SYNC = "in_sync", "In sync"
    BEHIND = "behind", "Behind"  # Git has moved on, and the node does not have it yet
    DRIFTED = "drifted", "Drifted"  # someone changed the node itself
    ASKS = "asks", "Needs confirmation"  # the guard has questions that a person must answer
    BROKEN = "broken", "Cannot be applied"  # Git's side has problems: bad files, missing variables or secrets
    UNREACHABLE = "unreachable", "Unreachable"  # the node does not answer, or refuses the panel's token
    HALF = "half", "Half changed"  # a sync could neither end nor be undone: what is owed is tried again
    OFF = "off", "Off"
