"""The scripts behind `make`: what they find, install and say. Nothing is installed here."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/setup.py, for a project folder of its own."""
    spec = importlib.util.spec_from_file_location("setup_script", ROOT / "scripts" / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    requirements = tmp_path / "requirements"
    requirements.mkdir()
    for name in ("base", "dev"):
        (requirements / f"{name}.txt").write_text(f"{name}==1\n")
    (tmp_path / ".venv").mkdir()
    for name, value in {"ROOT": tmp_path, "VENV": tmp_path / ".venv", "STAMP": tmp_path / ".venv/installed"}.items():
        monkeypatch.setattr(module, name, value)
    return module


def calls(setup: ModuleType, monkeypatch: pytest.MonkeyPatch, status: int = 0) -> list[list[str]]:
    seen: list[list[str]] = []

    def call(argv: list[str], **_: object) -> int:
        seen.append(argv)
        return status

    monkeypatch.setattr(setup.subprocess, "call", call)
    return seen


def test_locked_packages_are_installed_once(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = calls(setup, monkeypatch)
    setup.packages_ensure("base")
    setup.packages_ensure("base")
    assert len(seen) == 1
    assert "--require-hashes" in seen[0]
    (setup.ROOT / "requirements" / "base.txt").write_text("base==2\n")
    setup.packages_ensure("base")
    assert len(seen) == 2


def test_the_tests_packages_hold_those_of_the_panel(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = calls(setup, monkeypatch)
    setup.packages_ensure("dev")
    setup.packages_ensure("base")
    assert len(seen) == 1


def test_a_failed_installation_is_tried_again(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    calls(setup, monkeypatch, status=1)
    with pytest.raises(setup.SetupError, match="Installing the packages failed"):
        setup.packages_ensure("base")
    seen = calls(setup, monkeypatch)
    setup.packages_ensure("base")
    assert len(seen) == 1


def test_who_is_not_root_gets_the_exact_line(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = calls(setup, monkeypatch)
    monkeypatch.setattr(setup, "program_find", lambda name: None if name in {"rsync", "sshd"} else name)
    monkeypatch.setattr(setup.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(setup.shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(setup.SetupError) as told:
        setup.programs_ensure("run")
    line = "sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends openssh-server rsync'"
    assert line in str(told.value)
    assert seen == []


def test_root_on_debian_has_them_installed(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = calls(setup, monkeypatch)
    found = {"rsync": False}
    monkeypatch.setattr(setup, "program_find", lambda name: found.get(name, True) or len(seen) > 1)
    monkeypatch.setattr(setup.os, "geteuid", lambda: 0)
    monkeypatch.setattr(setup.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(setup, "services_held", lambda: __import__("contextlib").nullcontext())
    setup.programs_ensure("run")
    assert [argv[:2] for argv in seen] == [["apt-get", "update"], ["apt-get", "install"]]
    assert seen[1][-1] == "rsync"


def test_other_systems_are_told_what_is_missing(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "program_find", lambda name: None if name == "git" else name)
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    with pytest.raises(setup.SetupError, match=r"missing: git\. Install with your system's package manager"):
        setup.programs_ensure("run")


def test_the_demo_can_be_left_out(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO", "0")
    monkeypatch.setattr(setup, "program_find", lambda name: None if name == "sshd" else name)
    setup.programs_ensure("run")


def test_a_machine_without_python_311_is_told(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", ROOT / "scripts" / "python"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Deploypanel needs Python 3.11 or newer, and found none on PATH.")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("port", "said"), [("80000", "a port is a number"), ("eighty", "a port is a number")])
def test_a_port_that_is_none_is_one_clear_line(port: str, said: str) -> None:
    done = port_script(port)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert said in done.stderr


def test_a_taken_port_is_one_clear_line_before_anything_else(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = port_script(str(port))
        assert done.returncode == 1
        assert done.stderr == (
            f"Port {port} on 127.0.0.1 is taken: stop what listens there, or choose another with DEPLOYPANEL_PORT "
            f"(DEPLOYPANEL_PORT={port % 65535 + 1} make run).\n"
        )


def port_script(port: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "DEPLOYPANEL_PORT": port}
    script = [sys.executable, "-I", ROOT / "scripts" / "port.py"]
    return subprocess.run(script, env=env, capture_output=True, text=True, check=False)


def test_the_locks_name_no_index_and_have_hashes() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text
        assert text.count("--hash=sha256:") > text.count("==")


def test_make_is_there_for_ci() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert "make" in (ROOT / ".ci" / "run").read_text()
    assert shutil.which("make")
