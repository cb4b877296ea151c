"""The gate's answer: every rule with its result, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class RuleResult:
    """One rule, asked once. `opens_at` is when this rule alone would allow, None when never or unknown."""

    name: str
    allowed: bool
    reason: str
    opens_at: datetime | None = None
    overridden: bool = False


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the gate says about one act at one moment."""

    at: datetime
    rules: tuple[RuleResult, ...]
    # When the act would be allowed if nothing else changed; None when no waiting helps.
    opens_at: datetime | None = None

    @property
    def allowed(self) -> bool:
        return all(rule.allowed or rule.overridden for rule in self.rules)

    @property
    def reasons(self) -> list[str]:
        """Why not: the sentence of each rule that refuses."""
        return [rule.reason for rule in self.rules if not rule.allowed and not rule.overridden]

    def as_json(self) -> dict[str, Any]:
        return {
            "allowed": self.allowed,
            "at": self.at.isoformat(),
            "opens_at": self.opens_at.isoformat() if self.opens_at else None,
            "rules": [
                {
                    "name": rule.name,
                    "allowed": rule.allowed,
                    "overridden": rule.overridden,
                    "reason": rule.reason,
                    "opens_at": rule.opens_at.isoformat() if rule.opens_at else None,
                }
                for rule in self.rules
            ],
        }
