from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from apps.access.command import Exit, PanelCommand
from deploypanel.doctor.examine import examine

if TYPE_CHECKING:
    import argparse


class Command(PanelCommand):
    help = (
        "Tell everything that is wrong with this installation, each with its remedy. Exit status 1 when there is any."
    )
    examples = """
        manage.py doctor
        manage.py doctor --json
    """
    requires_system_checks = []  # they are among the findings

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        self.add_json_argument(parser)

    def work(self, **options: Any) -> int:
        findings = examine()
        if options["as_json"]:
            self.print_json([asdict(finding) for finding in findings])
        elif not findings:
            self.stdout.write("Nothing is wrong.")
        else:
            for number, finding in enumerate(findings, 1):
                self.stdout.write(f"{number}. {finding.about} {finding.text}.\n   → {finding.remedy}")
        return Exit.FAILED if findings else Exit.DONE
