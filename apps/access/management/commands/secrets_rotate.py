"""`manage.py secrets_rotate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet
from django.conf import settings

from apps.access import secrets
from apps.access.command import Exit, PanelCommand
from apps.access.errors import InputError
from apps.access.services import secrets_rotate

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from apps.access.services import RotationReport


class Command(PanelCommand):
    help = (
        "Write every stored secret anew with the first key of the key ring. Safe to stop and to repeat, and while "
        "the panel runs. Back up the ring with the database: without its key a secret is lost."
    )
    examples = """
    manage.py secrets_rotate --dry-run
    manage.py secrets_rotate --new-key
    manage.py secrets_rotate --drop-old-keys
    """

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count only, change nothing")
        text = "make a new key and put it first in the ring's file"
        parser.add_argument("--new-key", action="store_true", help=text)
        text = "when all is written anew, keep only the first key (restart the panel before)"
        parser.add_argument("--drop-old-keys", action="store_true", help=text)
        self.add_json_argument(parser)

    def work(self, **options: Any) -> int:
        dry_run = options["dry_run"]
        if dry_run and (options["new_key"] or options["drop_old_keys"]):
            raise InputError("--dry-run changes nothing: leave out --new-key and --drop-old-keys.")
        if options["new_key"]:
            path = secrets.ring_write([Fernet.generate_key().decode(), *secrets.keys_of(settings.KEY_RING)])
            self.stderr.write(f"A new key is first in {path}.")
        report = secrets_rotate(actor=self.actor(options), dry_run=dry_run)
        self._print(report, dry_run, as_json=options["as_json"])
        if report.unreadable:
            return Exit.FAILED
        if options["drop_old_keys"]:
            path = secrets.ring_write(secrets.keys_of(settings.KEY_RING)[:1])
            self.stderr.write(f"Only the newest key is left in {path}.")
        return Exit.DONE

    def _print(self, report: RotationReport, dry_run: bool, *, as_json: bool) -> None:
        if as_json:
            self.print_json({"rotated": report.rotated, "current": report.current, "unreadable": report.unreadable})
            return
        verb = "would be written anew" if dry_run else "written anew"
        for label, count in report.rotated.items():
            self.stdout.write(f"{label}: {count} {verb}, {report.current[label]} with the newest key already")
        for name in report.unreadable:
            self.stderr.write(f"{name}: no key of the ring opens it; enter it again in the admin.")
