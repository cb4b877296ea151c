"""The program's commands, and the file that it comes in."""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.agents.pyz import agent_pyz
from tests.agent_program.conftest import Program, identity
from tests.fakes.agent_panel import CODE, KEY, NAME, FakePanel


def test_the_file_is_the_same_each_time_and_holds_plain_python(tmp_path: Path) -> None:
    one = agent_pyz()
    agent_pyz.cache_clear()
    assert hashlib.sha256(agent_pyz()).digest() == hashlib.sha256(one).digest()
    call_command("agent_build", output=str(tmp_path / "agent.pyz"), stdout=(tmp_path / "told").open("w"))
    assert (tmp_path / "agent.pyz").read_bytes() == one
    assert (tmp_path / "agent.pyz").stat().st_mode & stat.S_IXUSR
    names = zipfile.ZipFile(tmp_path / "agent.pyz").namelist()
    assert {"__main__.py", "licenses/PyYAML", "licenses/websocket-client"} < set(names)
    assert all(name.endswith(".py") or name.startswith("licenses/") for name in names)
    assert not any("tests/" in name for name in names)


def test_enrolling_keeps_the_key_for_the_owner_only(program: Program, panel: FakePanel) -> None:
    done = program.command("enrol", panel.url + "/", CODE)
    assert (done.returncode, NAME in done.stdout) == (0, True)
    assert (program.state / "identity.json").stat().st_mode & 0o077 == 0
    found = identity(program.state)
    assert (found["url"], found["key"]) == (panel.url, KEY)
    assert KEY not in done.stdout + done.stderr
    again = program.command("enrol", panel.url, CODE)
    assert (again.returncode, "enrolled already" in again.stderr) == (2, True)
    assert program.command("enrol", "--again", panel.url, CODE).returncode == 0


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("", "WRONG", "unknown or too old"),
        ("http://panel.example", CODE, "not encrypted"),
        ("http://127.0.0.1.evil.example", CODE, "not encrypted"),
        ("https://127.0.0.1:1", CODE, "Connection refused"),
        ("ftp://panel.example", CODE, "https://"),
    ],
)
def test_enrolling_tells_what_is_wrong(url: str, code: str, words: str, program: Program, panel: FakePanel) -> None:
    done = program.command("enrol", url or panel.url, code)
    assert done.returncode in {2, 3}
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (program.state / "identity.json").exists()


def test_an_agent_enrols_by_its_environment(program: Program, panel: FakePanel) -> None:
    program.start(DEPLOYPANEL_URL=panel.url, DEPLOYPANEL_AGENT_CODE=CODE)
    panel.until(lambda: panel.hellos)
    done = program.command("status", "--json")
    told = json.loads(done.stdout)
    assert (told["running"], told["agent"]) == (True, NAME)
    second = program.command("run")
    assert (second.returncode, "Another deploypanel-agent works in" in second.stderr) == (2, True)


def test_status_of_an_agent_that_is_nothing_yet(program: Program) -> None:
    done = program.command("status")
    assert done.returncode == 1
    assert "not enrolled" in done.stdout


def test_check_tells_the_place(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    path.write_text("steps:\n  - shell: echo\n  - shell: echo\n    timeout: soon\n", encoding="utf-8")
    done = program.command("check", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{path}: line 4, column 14: “timeout”" in done.stderr
    path.write_text("steps:\n  - shell: echo\n", encoding="utf-8")
    assert program.command("check", str(path)).returncode == 0
    assert program.command("check", str(tmp_path / "none")).returncode == 2


def test_a_unit_for_systemd(program: Program, tmp_path: Path) -> None:
    units = tmp_path / "units"
    units.mkdir()
    target = tmp_path / "bin" / "deploypanel-agent"
    arguments = ("install", "--systemd", "--units", str(units), "--program", str(target))
    done = program.command(*arguments)
    assert done.returncode == 0, done.stderr
    unit = (units / "deploypanel-agent.service").read_text()
    assert f"ExecStart={program.python} {target} run" in unit.replace(
        str(Path(program.python).resolve()), program.python
    )
    assert f"DEPLOYPANEL_AGENT_STATE={program.state}" in unit
    assert "KillMode=process" in unit
    assert target.read_bytes() == program.pyz.read_bytes()
    assert "no user nobody-here" in program.command(*arguments, "--user", "nobody-here").stderr


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"DEPLOYPANEL_AGENT_CONFIG": "/does/not/exist.yaml"}, "There is no file /does/not/exist.yaml"),
        ({"DEPLOYPANEL_AGENT_TRANSPORT": "pigeon"}, "DEPLOYPANEL_AGENT_TRANSPORT: use one of"),
        ({"DEPLOYPANEL_AGENT_SHELL": "sh"}, "is no program"),
        ({"DEPLOYPANEL_AGENT_LOG_LIMIT": "-1"}, "DEPLOYPANEL_AGENT_LOG_LIMIT"),
        ({"DEPLOYPANEL_AGENT_METRICS": "host"}, "a port or host:port"),
        ({"DEPLOYPANEL_AGENT_STATE": "state"}, "whole path"),
        ({"PROSTAGMA_TRIGGER": "web"}, "belong together"),
        ({}, "not enrolled"),
    ],
)
def test_wrong_settings_are_named(env: dict[str, str], words: str, program: Program) -> None:
    done = program.command("run", **env)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_of_settings(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("scripts: {web: /etc/web.yaml}\nlog: 1\n", encoding="utf-8")
    done = program.command("--config", str(path), "status")
    assert f"{path}: “log” is no setting" in done.stderr
    path.write_text("a: [\n", encoding="utf-8")
    assert f"{path}: line 2, column 1" in program.command("--config", str(path), "status").stderr
