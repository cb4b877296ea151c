"""What can be wrong with a call of a webhook.

HookError                 answered as it is, with `status`
├── Unreadable            400: no JSON, or not what this forge sends
├── TooLarge              413
└── Unauthorised          401: no repository of ours, or not its secret. It says nothing more, to nobody
"""

from __future__ import annotations

from apps.access.errors import PanelError


class HookError(PanelError):
    status = 400


class Unreadable(HookError):
    """The body cannot be read. Only told where it gives nothing away."""


class TooLarge(HookError):
    status = 413


class Unauthorised(HookError):
    status = 401

    def __init__(self) -> None:
        super().__init__("The signature or token is missing or wrong.")
