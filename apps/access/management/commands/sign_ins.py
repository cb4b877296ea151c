"""`manage.py sign_ins`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.access.command import PanelCommand
from apps.access.services import sign_ins_blocked, sign_ins_unblock

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(PanelCommand):
    help = "List who cannot sign in for too many failures, and let them."
    examples = """
        manage.py sign_ins list
        manage.py sign_ins unblock alice                  from wherever
        manage.py sign_ins unblock --address 192.0.2.9    whatever name was tried from there
        manage.py sign_ins unblock --all
    """

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
        listing = acts.add_parser("list", help="what is blocked now, and until when")
        self.add_json_argument(listing)
        unblock = acts.add_parser("unblock", help="lift a block, and forget the failures that were counted")
        unblock.add_argument("name", nargs="?", default="", metavar="NAME", help="the name that was typed")
        unblock.add_argument("--address", default="", metavar="ADDRESS", help="whatever was tried from there")
        unblock.add_argument("--all", action="store_true", help="everything that is counted")

    def work(self, **options: Any) -> None:
        if options["act"] == "list":
            self._list(as_json=options["as_json"])
            return
        forgotten = sign_ins_unblock(
            actor=self.actor(options), name=options["name"], address=options["address"], everything=options["all"]
        )
        self.stdout.write("Signing in is possible again." if forgotten else "Nothing was counted.")

    def _list(self, *, as_json: bool) -> None:
        blocked = sign_ins_blocked(timezone.now())
        if as_json:
            self.print_json(
                [{"name": row.name, "network": row.network, "until": row.ends_at.isoformat()} for row in blocked]
            )
            return
        for row in blocked:
            self.stdout.write(f"{row}: until {timezone.localtime(row.ends_at):%Y-%m-%d %H:%M:%S %Z}")
        if not blocked:
            self.stdout.write("Nobody is blocked.")
