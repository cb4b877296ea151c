"""How often signing in may fail, for whom, and what is said to those who are stopped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from apps.access.address import network_of

WINDOW = timedelta(minutes=15)  # counting begins with the first failure; a block lasts as long, from the last one
# The first guards the password, and locks nobody out but from where it was guessed. The second stops those who guess
# from many networks: they need ten to lock somebody out. The third stops those who try many names.
NAME_FROM_NETWORK, NAME, NETWORK = 10, 100, 50
NAME_LENGTH = 150  # nobody has a longer one


@dataclass(frozen=True)
class Bound:
    """One of the counts that a try adds to: for a name, from a network, or both."""

    name: str  # empty: whatever name
    network: str  # empty: from anywhere
    limit: int

    def sentence(self, until: datetime) -> str:
        """What is told: until when, and what to do."""
        minute = timezone.localtime(until + timedelta(seconds=59))  # by then it is surely over
        return (
            f"Too many failed sign-ins {self._whose()}: none is accepted until {minute:%H:%M %Z}, not even with the "
            "right password. Wait until then, or have the panel's operator lift this with “manage.py sign_ins unblock "
            f"{'NAME' if self.name else f'--address {self.network}'}”."
        )

    def _whose(self) -> str:
        if not self.name:
            return f"from your address ({self.network})"
        return "for this name from your address" if self.network else "for this name"


def bounds_of(name: str, address: str) -> tuple[Bound, Bound, Bound]:
    """All that a try counts for. Rows are always locked in this order, so that no two tries wait for each other."""
    name, network = name[:NAME_LENGTH], network_of(address)
    return Bound(name, network, NAME_FROM_NETWORK), Bound(name, "", NAME), Bound("", network, NETWORK)
