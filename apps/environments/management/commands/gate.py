"""`manage.py gate`: may this person deploy there, now or at some other time?"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.access.command import Exit, PanelCommand
from apps.access.errors import InputError
from apps.access.gate import Act, decide
from apps.access.selectors import subject_named

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from apps.access.decision import Decision, RuleResult


class Command(PanelCommand):
    help = "Ask the gate: every rule with its answer. Exits 0 when it would let the person act, 3 when not."
    examples = """
        manage.py gate shop/prod --as alice
        manage.py gate shop/prod --as alice --at "2026-12-24 10:00"
    """

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("subject", metavar="SUBJECT", help="REPOSITORY/ENVIRONMENT, node, trigger or repository")
        self.add_as_argument(parser)
        parser.add_argument("--at", metavar="TIME", default="", help="another moment: 2026-12-24T10:00 (default: now)")
        self.add_json_argument(parser)

    def work(self, **options: Any) -> int:
        actor = self.actor(options)
        subject = subject_named(options["subject"], actor.user)
        decision = decide(actor=actor, act=Act.ACT, subject=subject, at=moment(options["at"]))
        if options["as_json"]:
            self.print_json({"subject": options["subject"], "as": actor.name, **decision.as_json()})
        else:
            self.stdout.write("\n".join(_lines(decision)))
        return Exit.DONE if decision.allowed else Exit.REFUSED


def moment(text: str) -> dt.datetime | None:
    """The moment that `text` names, in the panel's time zone where it names none; raises InputError."""
    if not text:
        return None
    try:
        at = parse_datetime(text)
        if at is None:
            at = dt.datetime.combine(dt.date.fromisoformat(text), dt.time())
    except ValueError:
        raise InputError(f"{text!r} is no moment such as 2026-12-24T10:00 or 2026-12-24T10:00+01:00.", "--at") from None
    return timezone.make_aware(at) if timezone.is_naive(at) else at


def _lines(decision: Decision) -> list[str]:
    head = "Allowed" if decision.allowed else "Refused"
    lines = [f"{head} at {_words(decision.at)}:", *(_line(rule) for rule in decision.rules)]
    if decision.opens_at:
        lines.append(f"Opens at {_words(decision.opens_at)}.")
    return lines


def _line(rule: RuleResult) -> str:
    return f"  {'yes' if rule.allowed else 'no ':<3} {rule.name}: {rule.reason}"


def _words(at: dt.datetime) -> str:
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S %Z}"
