"""What can go wrong in the agent's program, told in sentences.

AgentError            for a person; ends a command with status 2
├── ConfigError       a setting is wrong: names it, the place and the remedy
├── PanelRefused      the panel answered no; `status` says how
└── LineLost          the line to the panel broke or never came about; tried again
"""

from __future__ import annotations


class AgentError(Exception):
    """A failure that a person can understand and mend."""


class ConfigError(AgentError):
    """A setting is wrong."""


class PanelRefused(AgentError):
    """The panel's answer was no. `status` is that of HTTP, or the code with which a WebSocket was closed."""

    def __init__(self, status: int, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after  # seconds; 0: not told


class LineLost(AgentError):
    """The panel cannot be reached (any more). It is tried again."""


class NoWebSocket(LineLost):
    """Something on the way lets no WebSocket through; long polling may do."""
