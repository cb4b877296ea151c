"""Who knocks, and at which door."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class Door(enum.StrEnum):
    ADMIN = "admin"
    API = "api"
    WEBHOOK = "webhook"
    SCHEDULE = "schedule"
    COMMAND = "command"
    SYSTEM = "system"


@dataclass(frozen=True, kw_only=True)
class Actor:
    """The one who asks. `user` is None only for the panel itself and for the operator at its shell."""

    user: User | None
    door: Door
    address: str = ""
    behind: str = ""  # who really asked, where one acts as another (a pusher behind `deploy_as`)
    by_secret: bool = False  # nobody signed in: a trigger's own secret opened the door, and says that he may

    @property
    def name(self) -> str:
        if self.user is not None:
            return self.user.get_username()
        if self.by_secret:
            return "secret"
        return {Door.COMMAND: "operator", Door.SYSTEM: "panel", Door.SCHEDULE: "panel"}.get(self.door, "nobody")

    @property
    def is_trusted(self) -> bool:
        """The panel itself, whoever may run its commands, and who knew the secret, pass without object permissions."""
        return self.user is None and (self.by_secret or self.door in {Door.SYSTEM, Door.COMMAND, Door.SCHEDULE})
