"""The supervisor buries orphans (it is process 1 of a container), and starts what keeps dying ever more slowly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploypanel.supervisor import PAUSES
from tests.support.panel import MANAGE, ROOT, Panel, wait_for
from tests.support.ports import free_port

pytestmark = [pytest.mark.panel]
# A supervisor with one program, given as the shell's words.
SCRIPT = """
import os, sys, django
sys.path.insert(0, {root!r})
os.environ["DJANGO_SETTINGS_MODULE"] = "deploypanel.settings"
django.setup()
from pathlib import Path
from deploypanel.supervisor import Program, Supervisor
program = Program(role="thing", name="thing", argv=["/bin/sh", "-c", {shell!r}])
Supervisor(Path({data!r}), [program], lambda line: print(line, flush=True)).run()
"""


def supervise(shell: str, data: Path) -> subprocess.Popen[str]:
    code = SCRIPT.format(root=str(ROOT), shell=shell, data=str(data))
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_orphans_are_buried(tmp_path: Path) -> None:
    marker = tmp_path / "orphans"
    shell = f"for n in 1 2 3; do setsid sh -c 'echo $$ >>{marker}; sleep 0.3' & done; exec sleep 60"
    supervisor = supervise(f"({shell.replace('exec sleep 60', 'true')}); exec sleep 60", tmp_path)
    try:
        wait_for(lambda: marker.exists() and len(marker.read_text().split()) == 3)
        orphans = [int(pid) for pid in marker.read_text().split()]
        wait_for(lambda: not any(psutil.pid_exists(pid) for pid in orphans))
    finally:
        supervisor.terminate()
        assert supervisor.wait(30) == 0
        assert supervisor.stdout is not None
        supervisor.stdout.close()


def test_what_keeps_dying_is_started_again_ever_more_slowly(tmp_path: Path) -> None:
    supervisor = supervise("exit 3", tmp_path)
    assert supervisor.stdout is not None
    said = [supervisor.stdout.readline().strip() for _ in range(3)]
    supervisor.terminate()
    supervisor.communicate(timeout=30)
    expected = [f"The thing ended with status 3; starting again in {pause:.1f} s." for pause in PAUSES[:3]]
    assert said == expected


def test_what_ignores_the_stop_is_killed_when_asked_twice(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    supervisor = supervise(f"trap '' TERM; touch {ready}; while :; do sleep 0.1; done", tmp_path)
    wait_for(ready.exists)
    supervisor.terminate()
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == "Stopping.\n"
    supervisor.terminate()
    rest, _ = supervisor.communicate(timeout=8)
    assert "The thing did not stop in time and is killed." in rest
    assert supervisor.returncode == 0


def test_a_database_that_is_away_is_one_clear_line(panel_stopped: Panel) -> None:
    url = f"postgres://nobody@127.0.0.1:{free_port()}/none"
    done = panel_stopped.manage("panel", "--prepare", check=False, DEPLOYPANEL_DATABASE_URL=url)
    assert done.returncode == 1
    assert done.stderr.startswith("The database does not answer: ")
    assert "Traceback" not in done.stderr


def test_a_part_can_wait_for_the_database(panel_stopped: Panel, tmp_path: Path) -> None:
    env = panel_stopped.env | {"DEPLOYPANEL_DATABASE_URL": f"sqlite:///{tmp_path / 'new.sqlite3'}"}
    with (tmp_path / "log").open("wb") as log:
        waiting = subprocess.Popen([*MANAGE, "panel", "--only", "clock", "--wait"], env=env, stdout=log, stderr=log)
    try:
        wait_for(lambda: "Waiting: the database lacks" in (tmp_path / "log").read_text(), 60)
        subprocess.run([*MANAGE, "migrate", "--verbosity", "0"], env=env, check=True)
        wait_for(lambda: "Deploypanel runs" in (tmp_path / "log").read_text(), 60)
    finally:
        waiting.terminate()
        assert waiting.wait(60) == 0
