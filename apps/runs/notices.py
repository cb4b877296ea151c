"""What pages tell people before they press a button: badges, and banners for what stands in the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.runs.wording import moment

if TYPE_CHECKING:
    from apps.access.decision import Decision
    from apps.access.models import Freeze


@dataclass(frozen=True, kw_only=True)
class Badge:
    """A word with a tone: good, bad, warn, info or idle."""

    text: str
    tone: str = "idle"
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Banner:
    """Something one must know before pressing a button. `act` names a POST of the page, such as `resume`."""

    tone: str
    title: str
    text: str
    act: str = ""
    label: str = ""
    items: tuple[str, ...] = ()  # a list below the text


def freeze_banner(freeze: Freeze) -> Banner:
    until = f"until {moment(freeze.ends_at)}" if freeze.ends_at else "until someone ends it"
    scope = f"{freeze.subject} is" if freeze.subject_id else "Everything is"
    return Banner(tone="bad", title=f"{scope} frozen by {freeze.author_name}, {until}.", text=freeze.reason)


def hours_banners(decision: Decision) -> list[Banner]:
    """One when the business hours are what refuses."""
    return [
        Banner(tone="warn", title="Outside business hours.", text=rule.reason)
        for rule in decision.rules
        if rule.name == "hours" and not rule.allowed
    ]


def paused_banner(title: str, reason: str, *, may_act: bool) -> Banner:
    return Banner(tone="warn", title=title, text=reason, act="resume" if may_act else "", label="Resume")


def is_unprotected(host: str, secure: bool) -> bool:
    """Whether passwords and acts travel in the clear: no TLS, and not on this very machine."""
    name = host.rsplit(":", 1)[0].strip("[]")
    return not secure and name not in {"localhost", "::1"} and not name.startswith("127.")
