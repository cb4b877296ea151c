"""What can be wrong with a call of a webhook or of the old protocol.

HookError                 answered as it is, with `status`
├── Unreadable            400: no JSON, or not what this forge sends
├── TooLarge              413
└── Unauthorised          401: no repository of ours, or not its secret. It says nothing more, to nobody

RateLimited               a trigger was fired too often; carries the seconds after which it may be tried again
BadBody                   a call of the old protocol that is not JSON, or of wrong types: 400, without a word
"""

from __future__ import annotations

from apps.access.errors import PanelError


class HookError(PanelError):
    status = 400


class RateLimited(PanelError):
    """More firings than the trigger's rate limit allows. `retry_after`: whole seconds, at least one."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = max(1, retry_after)


class BadBody(PanelError):
    """Raised before anything is compared: the old server looked at the secret last."""


class Unreadable(HookError):
    """The body cannot be read. Only told where it gives nothing away."""


class TooLarge(HookError):
    status = 413


class Unauthorised(HookError):
    status = 401

    def __init__(self) -> None:
        super().__init__("The signature or token is missing or wrong.")
