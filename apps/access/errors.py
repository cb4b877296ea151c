"""What can go wrong when the panel is asked for something.

PanelError                a clear sentence for a person; never a traceback
├── InputError            what was given is wrong: names the thing, the place and the remedy
│   └── NotFound          no such thing, or none that the asker may see
├── Refused               the gate said no; carries the whole decision
├── SignInBlocked         too many failed sign-ins; carries the seconds after which one may be tried again
├── Conflict              it is right, but not now: something else holds it
└── DecryptionError       a secret cannot be read with the keys of this installation
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apps.access.decision import Decision


class PanelError(Exception):
    """A failure that a person can understand and mend. `str(error)` is the sentence to show."""


class InputError(PanelError):
    """Bad input. `place` says where (a field, a line of a file), empty when there is just one."""

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place


class NotFound(InputError):
    """Nothing of that name exists, or the asker may not see it: the answer is the same."""


class Refused(PanelError):
    """The gate refused. `decision` lists every rule with its result."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(" ".join(decision.reasons))
        self.decision = decision


class SignInBlocked(PanelError):
    """No sign-in is looked at for a while. `retry_after`: whole seconds, at least one."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Conflict(PanelError):
    """Something else is at work on the same subject."""


class DecryptionError(PanelError):
    """No key of the ring opens this secret. The stored value is left as it is."""
