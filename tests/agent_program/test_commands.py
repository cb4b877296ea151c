"""The program's commands, and the file that it comes in."""

from __future__ import annotations

import getpass
import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.agents.pyz import agent_pyz
from deploypanel_agent.cli import main
from tests.agent_program.conftest import OURS, Program, identity
from tests.fakes.agent_door import CODE, KEY, NAME
from tests.fakes.agent_panel import FakePanel

Command = Callable[..., "Told"]


def test_the_file_is_the_same_each_time_and_holds_plain_python(tmp_path: Path) -> None:
    one = agent_pyz()
    agent_pyz.cache_clear()
    assert hashlib.sha256(agent_pyz()).digest() == hashlib.sha256(one).digest()
    call_command("agent_build", output=str(tmp_path / "agent.pyz"), stdout=io.StringIO())
    assert (tmp_path / "agent.pyz").read_bytes() == one
    assert (tmp_path / "agent.pyz").stat().st_mode & stat.S_IXUSR
    names = zipfile.ZipFile(tmp_path / "agent.pyz").namelist()
    assert {"__main__.py", "licenses/PyYAML", "licenses/websocket-client"} < set(names)
    assert all(name.endswith(".py") or name.startswith("licenses/") for name in names)
    assert not any("tests/" in name for name in names)


@dataclass
class Told:
    status: int
    out: str
    err: str


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """A command of an agent whose folder is `state`; nothing wrong shows a traceback."""
    for name in (name for name in os.environ if name.startswith(OURS)):
        monkeypatch.delenv(name)
    monkeypatch.setenv("DEPLOYPANEL_AGENT_STATE", str(tmp_path / "state"))

    def run(*arguments: str, **env: str) -> Told:
        with monkeypatch.context() as within:
            for name, value in env.items():
                within.setenv(name, value)
            status = main(arguments)
        told = capsys.readouterr()
        return Told(status, told.out, told.err)

    return run


def test_enrolling_keeps_the_key_for_the_owner_only(command: Command, panel: FakePanel, tmp_path: Path) -> None:
    done = command("enrol", panel.url + "/", CODE)
    assert (done.status, NAME in done.out) == (0, True)
    assert (tmp_path / "state" / "identity.json").stat().st_mode & 0o077 == 0
    found = identity(tmp_path / "state")
    assert (found["url"], found["key"]) == (panel.url, KEY)
    assert KEY not in done.out + done.err
    again = command("enrol", panel.url, CODE)
    assert (again.status, "enrolled already" in again.err) == (2, True)
    assert command("enrol", "--again", panel.url, CODE).status == 0


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("", "WRONG", "unknown or too old"),
        ("http://panel.example", CODE, "not encrypted"),
        ("http://127.0.0.1.evil.example", CODE, "not encrypted"),
        ("https://127.0.0.1:1", CODE, "Connection refused"),
        ("ftp://panel.example", CODE, "https://"),
        ("https://user@panel.example", CODE, "https://host"),
    ],
)
def test_enrolling_tells_what_is_wrong(
    url: str, code: str, words: str, command: Command, panel: FakePanel, tmp_path: Path
) -> None:
    done = command("enrol", url or panel.url, code)
    assert done.status == (3 if code == "WRONG" else 2)  # as the panel refuses it, or before it is asked
    assert words in done.err
    assert not (tmp_path / "state" / "identity.json").exists()


def test_an_agent_enrols_by_its_environment(program: Program, panel: FakePanel) -> None:
    program.start(DEPLOYPANEL_URL=panel.url, DEPLOYPANEL_AGENT_CODE=CODE)
    panel.until(lambda: panel.hellos)
    told = json.loads(program.command("status", "--json").stdout)
    assert (told["running"], told["agent"]) == (True, NAME)
    second = program.command("run")
    assert (second.returncode, "Another deploypanel-agent works in" in second.stderr) == (2, True)


def test_status_of_an_agent_that_is_nothing_yet(command: Command) -> None:
    done = command("status")
    assert done.status == 1
    assert "not enrolled" in done.out


def test_check_tells_the_place(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    path.write_text("steps:\n  - shell: echo\n  - shell: echo\n    timeout: soon\n", encoding="utf-8")
    done = command("check", str(path))
    assert (done.status, done.out) == (2, "")
    assert f"{path}: line 4, column 14: “timeout”" in done.err
    path.write_text("steps:\n  - shell: echo\n", encoding="utf-8")
    assert command("check", str(path)).status == 0
    assert command("check", str(tmp_path / "none")).status == 2


def test_a_unit_for_systemd(program: Program, tmp_path: Path) -> None:
    units, target = tmp_path / "units", tmp_path / "bin" / "deploypanel-agent"
    units.mkdir()
    arguments = ("install", "--systemd", "--units", str(units), "--program", str(target), "--user", getpass.getuser())
    done = program.command(*arguments)
    assert done.returncode == 0, done.stderr
    unit = (units / "deploypanel-agent.service").read_text()
    assert f" {target} run\n" in unit
    assert f"DEPLOYPANEL_AGENT_STATE={program.state}\n" in unit
    assert "KillMode=process\n" in unit
    assert target.read_bytes() == program.pyz.read_bytes()
    assert "no user nobody-here" in program.command(*arguments[:-1], "nobody-here").stderr
    settings = tmp_path / "own.yaml"
    settings.write_text("scripts: {}\n")
    assert program.command("--config", str(settings), *arguments).returncode == 0
    assert f" {target} --config {settings} run\n" in (units / "deploypanel-agent.service").read_text()
    assert "--units DIR" in program.command(*arguments[:3], str(tmp_path / "none"), *arguments[4:]).stderr


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"DEPLOYPANEL_AGENT_CONFIG": "/does/not/exist.yaml"}, "There is no file /does/not/exist.yaml"),
        ({"DEPLOYPANEL_AGENT_TRANSPORT": "pigeon"}, "DEPLOYPANEL_AGENT_TRANSPORT: use one of"),
        ({"DEPLOYPANEL_AGENT_SHELL": "sh"}, "is no program"),
        ({"DEPLOYPANEL_AGENT_LOG_LIMIT": "-1"}, "DEPLOYPANEL_AGENT_LOG_LIMIT"),
        ({"DEPLOYPANEL_AGENT_POLL": "nan"}, "DEPLOYPANEL_AGENT_POLL"),
        ({"DEPLOYPANEL_AGENT_METRICS": "host"}, "a port or host:port"),
        ({"DEPLOYPANEL_AGENT_STATE": "state"}, "whole path"),
        ({"PROSTAGMA_TRIGGER": "web"}, "belong together"),
        (
            {
                "DEPLOYPANEL_AGENT_CA": "/does/not/exist.pem",
                "DEPLOYPANEL_URL": "https://x",
                "DEPLOYPANEL_AGENT_CODE": "x",
            },
            "exist.pem",
        ),
        ({}, "not enrolled"),
    ],
)
def test_wrong_settings_are_named(env: dict[str, str], words: str, command: Command) -> None:
    done = command("run", **env)
    assert done.status == 2
    assert words in done.err


def test_a_file_of_settings(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("scripts: {web: /etc/web.yaml}\nlog: 1\n", encoding="utf-8")
    assert f"{path}: “log” is no setting" in command("--config", str(path), "status").err
    path.write_text("a: [\n", encoding="utf-8")
    assert f"{path}: line 2, column 1" in command("--config", str(path), "status").err
