"""What can be wrong with what an agent asks.

PanelError
├── CodeRefused       the enrolment code is unknown, used or expired
└── TooManyTries      too many wrong codes from one address; carries the seconds to wait

ValueError
└── BadMessage        what came over the line is not the protocol; closes the line
"""

from __future__ import annotations

from apps.access.errors import PanelError


class CodeRefused(PanelError):
    """No agent waits to be enrolled with this code. Which of the reasons it is, nobody outside is told."""


class TooManyTries(PanelError):
    """This address has guessed too often. `retry_after`: seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many wrong codes from this address: try again in {retry_after} s.")
        self.retry_after = retry_after


class BadMessage(ValueError):
    """`str(error)` says what was not understood."""
