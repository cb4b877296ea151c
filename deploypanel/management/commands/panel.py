from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from django.conf import settings
from django.db import DatabaseError, connections

from apps.access.command import PanelCommand
from apps.access.errors import PanelError
from apps.runs.machine import machine_name
from deploypanel.demo.demo import demo_load
from deploypanel.demo.programs import demo_programs
from deploypanel.prepare import folders_make, migrations_missing, prepare
from deploypanel.supervisor import Program, Supervisor, web_socket
from deploypanel.watchdog import Watchdog

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

ROLES = ("web", "workers", "clock")


class Command(PanelCommand):
    help = "Run the panel: web, workers and clock under one supervisor, until Ctrl-C or SIGTERM."
    examples = """
        manage.py panel
        manage.py panel --prepare
        manage.py panel --only workers
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--only", action="append", choices=ROLES, metavar="PART", help=f"run just this part of {', '.join(ROLES)}"
        )
        parser.add_argument(
            "--prepare",
            action="store_true",
            help="first bring database and static files up to date and make the administrator",
        )
        parser.add_argument(
            "--wait", action="store_true", help="wait until another machine's --prepare has prepared the database"
        )
        parser.add_argument(
            "--demo", action="store_true", help="with --prepare: load the demo when this is the very first start"
        )

    def work(self, **options: Any) -> int | None:
        try:
            self._run(options["only"] or ROLES, options)
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
        except DatabaseError as error:
            raise PanelError(f"The database does not answer: {str(error).strip()}") from None
        return None

    def _run(self, parts: Sequence[str], options: dict[str, Any]) -> None:
        web = _listen() if "web" in parts else None
        folders_make()
        locks = [_lock(part) for part in parts]
        if options["prepare"]:
            first = prepare(self._say)
            if first and options["demo"]:
                self._load_demo()
        elif options["wait"]:
            self._wait_for_migrations()
        elif missing := migrations_missing():
            raise PanelError(f"The database lacks {len(missing)} migrations: start with --prepare, or run migrate.")
        programs = [program for part in parts for program in _programs(part, web.fileno() if web else -1)]
        if "workers" in parts:
            programs += demo_programs()
        supervisor = Supervisor(Path(settings.DATA_DIR), programs, self._say, ready=lambda: self._ready(parts))
        if "workers" in parts:
            watchdog = Watchdog(supervisor.workers_since)
            supervisor.complaint = watchdog.take_reason
            watchdog.start()
        supervisor.run()
        for lock in locks:
            lock.close()
        self._say("Stopped.")

    def _wait_for_migrations(self) -> None:
        """Look until the database is there and up to date."""
        said = ""
        while waits := _what_is_missing():
            if waits != said:
                self._say(f"Waiting: {waits}")
                said = waits
            time.sleep(1)

    def _load_demo(self) -> None:
        try:
            demo_load(self._say)
        except PanelError as error:
            self._say(f"The demo was not loaded: {error}")

    def _ready(self, parts: Sequence[str]) -> None:
        where = f" at {settings.PUBLIC_URL}/" if "web" in parts else ""
        self._say(f"Deploypanel runs{where}  ({', '.join(parts)}; Ctrl-C stops it)")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _what_is_missing() -> str:
    try:
        missing = migrations_missing()
    except DatabaseError:
        connections.close_all()
        return "the database does not answer."
    return f"the database lacks {len(missing)} migrations." if missing else ""


def _listen() -> Any:
    """The web's socket; raises PanelError with one clear line when the address cannot be had."""
    bind, port = settings.BIND, settings.PORT
    try:
        return web_socket(bind, port)
    except OSError as error:
        remedies = {
            errno.EADDRINUSE: "is taken: stop what listens there, or choose another with DEPLOYPANEL_PORT",
            errno.EACCES: "needs root: choose one above 1023 with DEPLOYPANEL_PORT",
            errno.EADDRNOTAVAIL: "is not an address of this machine: see DEPLOYPANEL_BIND",
        }
        remedy = remedies.get(error.errno or 0, f"cannot be listened on ({error.strerror or error})")
        raise PanelError(f"Port {port} on {bind} {remedy}.") from None


def _lock(part: str) -> IO[str]:
    """This machine's right to run that part of this data folder's panel; raises PanelError when it is taken."""
    path = Path(settings.DATA_DIR) / "locks" / f"{machine_name()}-{part}"
    handle = path.open("a+", encoding="ascii")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        raise PanelError(
            f"The panel of {settings.DATA_DIR} runs already ({part}, process {handle.read().strip() or 'unknown'})."
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def _programs(part: str, descriptor: int) -> list[Program]:
    manage = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py")]
    if part == "web":
        argv = [sys.executable, "-m", "deploypanel.web", str(descriptor)]
        return [Program(role="web", name="web process", argv=argv, descriptors=(descriptor,))]
    if part == "clock":
        return [Program(role="clock", name="clock", argv=[*manage, "clock"])]
    return [
        Program(role="worker", name="workers' cluster", argv=[*manage, "qcluster"], on_orphaned=int(signal.SIGTERM)),
    ]
