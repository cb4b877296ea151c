"""`manage.py hosts`: the fleet from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.access.command import Exit, PanelCommand
from apps.access.errors import InputError
from apps.environments.errors import HostError
from apps.environments.host_key import fingerprint_or_nothing
from apps.environments.host_reads import environments_on, host_named, hosts_visible
from apps.environments.host_report import Result
from apps.environments.management.acting import environment_meant
from apps.environments.selectors import environments_visible
from apps.environments.services.hosts import host_key_pin, host_scan, hosts_check
from apps.environments.services.status import environment_status_read, environments_status_read

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.core.management.base import CommandParser

    from apps.environments.host_report import HostReport
    from apps.environments.models import Host, HostRelease

MARKS = {Result.OK: "ok     ", Result.WARNING: "warning", Result.FAILED: "FAILED ", Result.SKIPPED: "-      "}


class Command(PanelCommand):
    help = "List, check and scan hosts, pin their keys, and ask them what they run."
    examples = """
        manage.py hosts list --json
        manage.py hosts check web1 web2          all of them when none is named
        manage.py hosts scan web1                the keys it shows now
        manage.py hosts pin web1 --fingerprint SHA256:…
        manage.py hosts status shop/prod         which commit each of its hosts runs
    """

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
        listing = acts.add_parser("list", help="all hosts that may be seen")
        check = acts.add_parser("check", help="log in and look: rsync, folders, space, clock. 1 when something failed")
        check.add_argument("hosts", nargs="*", metavar="HOST", help="all active ones when none is named")
        check.add_argument("--environment", default="", metavar="SUBJECT", help="look at what this one needs only")
        scan = acts.add_parser("scan", help="the public keys that hosts show; stores nothing")
        scan.add_argument("hosts", nargs="+", metavar="HOST")
        pin = acts.add_parser("pin", help="accept the host's key of this fingerprint, and from now on no other")
        pin.add_argument("host", metavar="HOST")
        pin.add_argument(
            "--fingerprint", metavar="SHA256:…", required=True, help="as read on the host itself: ssh-keygen -lf"
        )
        status = acts.add_parser("status", help="ask the hosts of environments which commit they run")
        status.add_argument("subjects", nargs="*", metavar="SUBJECT", help="REPOSITORY/ENVIRONMENT")
        status.add_argument("--id", nargs="+", type=int, default=[], help="by number, silently (used by workers)")
        for act in (listing, check, scan, pin, status):
            self.add_json_argument(act)
            self.add_as_argument(act)

    def work(self, **options: Any) -> int | None:
        status: int | None = getattr(self, f"_{options['act']}")(options, self.actor(options).user)
        return status

    def _list(self, options: dict[str, Any], user: User | None) -> None:
        hosts = hosts_visible(user).select_related("ssh_key", "jump_host").prefetch_related("clusters")
        if options["as_json"]:
            self.print_json([_as_json(host, user) for host in hosts])
            return
        for host in hosts:
            self.stdout.write(_line(host))
        if not hosts:
            self.stdout.write("There are no hosts that may be seen.")

    def _check(self, options: dict[str, Any], user: User | None) -> int:
        environment = environment_meant(options["environment"], user) if options["environment"] else None
        hosts = [host_named(name, user) for name in options["hosts"]]
        if not hosts:
            some = hosts_visible(user).filter(active=True)
            hosts = list(some.filter(clusters__environments=environment).distinct() if environment else some)
        if not hosts:
            raise InputError("There are no active hosts that may be seen.")
        reports = hosts_check(hosts=hosts, actor=self.actor(options), environment=environment)
        if options["as_json"]:
            self.print_json([report.as_json() for report in reports])
        else:
            self.stdout.write("\n\n".join("\n".join(_report_lines(report)) for report in reports))
        return Exit.DONE if all(report.ok for report in reports) else Exit.FAILED

    def _scan(self, options: dict[str, Any], user: User | None) -> int:
        hosts = [host_named(name, user) for name in options["hosts"]]
        found: list[dict[str, Any]] = []
        failed = False
        for host in hosts:
            pinned = fingerprint_or_nothing(host.host_key)
            try:
                keys = host_scan(host=host)
            except HostError as error:
                self.stderr.write(str(error))
                failed = True
                continue
            found += [
                {
                    "host": host.name,
                    "type": key.kind,
                    "fingerprint": key.fingerprint,
                    "pinned": key.fingerprint == pinned,
                    "key": key.line,
                }
                for key in keys
            ]
        if options["as_json"]:
            self.print_json(found)
        else:
            for key in found:
                told = "  (pinned)" if key["pinned"] else ""
                self.stdout.write(f"{key['host']}  {key['type']:<20} {key['fingerprint']}{told}")
        return Exit.FAILED if failed else Exit.DONE

    def _pin(self, options: dict[str, Any], user: User | None) -> int:
        host = host_named(options["host"], user)
        try:
            keys = host_scan(host=host)
        except HostError as error:
            self.stderr.write(str(error))
            return Exit.FAILED
        wanted = options["fingerprint"].removeprefix("SHA256:").rstrip("=")
        key = next((key for key in keys if key.fingerprint.removeprefix("SHA256:") == wanted), None)
        if key is None:
            shown = ", ".join(key.fingerprint for key in keys)
            raise InputError(f"{host.name} does not show that key; it shows {shown}.", "--fingerprint")
        former = fingerprint_or_nothing(host.host_key)
        host_key_pin(host=host, actor=self.actor(options), key=key.line)
        if options["as_json"]:
            self.print_json({"host": host.name, "fingerprint": key.fingerprint, "former": former or None})
        else:
            instead = f" instead of {former}" if former and former != key.fingerprint else ""
            self.stdout.write(f"{host.name}: {key.fingerprint} ({key.kind}) is pinned{instead}.")
        return Exit.DONE

    def _status(self, options: dict[str, Any], user: User | None) -> int:
        if options["id"]:
            environments_status_read(environments=list(environments_visible(user).filter(pk__in=options["id"])))
            return Exit.DONE
        if not options["subjects"]:
            raise InputError("at least one environment is needed.", "SUBJECT")
        environments = [environment_meant(path, user) for path in options["subjects"]]
        found: list[dict[str, Any]] = []
        for environment in environments:
            rows = environment_status_read(environment=environment)
            found += [_release_json(environment.path, row) for row in rows]
        if options["as_json"]:
            self.print_json(found)
        else:
            for row in found:
                self.stdout.write(_release_line(row))
        return Exit.FAILED if any(row["error"] for row in found) else Exit.DONE


def _as_json(host: Host, user: User | None) -> dict[str, Any]:
    report = host.check_report or {}
    return {
        "name": host.name,
        "address": host.address,
        "port": host.port,
        "user": host.user,
        "jump_host": host.jump_host.name if host.jump_host else None,
        "active": host.active,
        "labels": host.labels,
        "fingerprint": fingerprint_or_nothing(host.host_key) or None,
        "clusters": sorted(cluster.name for cluster in host.clusters.all()),
        "environments": sorted(environments_on(host, user).values_list("path", flat=True)),
        "checked_at": host.checked_at,
        "ok": report.get("ok"),
    }


def _line(host: Host) -> str:
    where = f"{host.user}@{host.address}:{host.port}"
    clusters = ",".join(sorted(cluster.name for cluster in host.clusters.all()))
    report = host.check_report or {}
    checked = (
        f"{timezone.localtime(host.checked_at):%Y-%m-%d %H:%M} {report.get('summary', '')}" if host.checked_at else ""
    )
    marks = [
        "" if host.active else "inactive",
        "" if host.host_key else "no pinned key",
        checked or "never checked",
    ]
    return f"{host.name:<20} {where:<32} {clusters:<20} {', '.join(mark for mark in marks if mark)}".rstrip()


def _report_lines(report: HostReport) -> list[str]:
    lines = [f"{report.host}: {report.summary()}"]
    for check in report.checks:
        name = f"{check.name} of {check.environment}" if check.environment else check.name
        lines.append(f"  {MARKS[check.result]} {name}: {check.detail}")
        if check.remedy and check.result is not Result.OK:
            lines.append(f"          → {check.remedy}")
    return lines


def _release_json(path: str, row: HostRelease) -> dict[str, Any]:
    return {
        "subject": path,
        "host": row.host.name,
        "commit": row.commit or None,
        "branch": row.branch or None,
        "release": row.release or None,
        "deployed_at": row.deployed_at,
        "in_progress": row.in_progress,
        "releases": len(row.releases),
        "read_at": row.read_at,
        "error": row.error or None,
    }


def _release_line(row: dict[str, Any]) -> str:
    if row["error"]:
        return f"{row['subject']}  {row['host']}: {row['error']}"
    at = f"{timezone.localtime(row['deployed_at']):%Y-%m-%d %H:%M}" if row["deployed_at"] else ""
    told = f"{(row['commit'] or 'nothing')[:10]:<11} {at:<17} {row['branch'] or ''}"
    return (
        f"{row['subject']}  {row['host']}: {told}{' (deployment in progress)' if row['in_progress'] else ''}".rstrip()
    )
