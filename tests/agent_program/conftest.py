"""The built file, run as it would be on a machine: a process of its own, the oldest Python there is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from apps.agents.pyz import FILE_NAME, agent_pyz
from deploypanel_agent.identity import enrol
from tests.fakes.agent_door import CODE
from tests.fakes.agent_panel import FakePanel, fake_panel
from tests.fakes.fixtures import authority

__all__ = ["authority"]

OURS = ("DEPLOYPANEL_", "PROSTAGMA_")
OLDEST = next(
    (str(found) for found in (Path.home() / ".pyenv/versions").glob("3.9.*/bin/python3")), shutil.which("python3.9")
)


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / FILE_NAME
    path.write_bytes(agent_pyz())
    return path


@dataclass
class Program:
    """One agent of one folder. `start` runs it; killed and started again it is the same agent."""

    pyz: Path
    state: Path
    log: Path
    python: str = OLDEST or sys.executable
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        argv = [self.python, str(self.pyz), *arguments]
        return subprocess.run(
            argv, env=self._environment() | env, capture_output=True, text=True, timeout=60, check=False
        )

    def start(self, **env: str) -> Program:
        with self.log.open("ab") as log:
            argv = [self.python, "-W", "error", str(self.pyz), "run"]
            variables = self._environment() | env
            self.process = subprocess.Popen(argv, env=variables, stdout=log, stderr=log, cwd=self.log.parent)
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def held(self) -> set[str]:
        """The names of the runs on its disk."""
        runs = self.state / "runs"
        return {path.name for path in runs.iterdir()} if runs.is_dir() else set()

    def scripts(self, **texts: str) -> None:
        """Build scripts on the agent's own disk."""
        paths = {}
        for name, text in texts.items():
            paths[name] = self.log.parent / f"{name}.yaml"
            paths[name].write_text(text, encoding="utf-8")
        self.env["DEPLOYPANEL_AGENT_SCRIPTS"] = ",".join(f"{name}={path}" for name, path in paths.items())

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("DEPLOYPANEL_", "PROSTAGMA_"))
        }
        return kept | {"DEPLOYPANEL_AGENT_STATE": str(self.state)} | self.env


@pytest.fixture
def panel() -> Iterator[FakePanel]:
    with fake_panel() as found:
        yield found


@contextmanager
def program_in(folder: Path, pyz: Path) -> Iterator[Program]:
    """Not enrolled, not started; nothing of it is left afterwards."""
    found = Program(pyz, folder / "state", folder / "agent.log")
    try:
        yield found
    finally:
        if found.process is not None:
            found.kill()
        _kill_sessions(found.state)


@pytest.fixture
def program(pyz: Path, tmp_path: Path) -> Iterator[Program]:
    with program_in(tmp_path, pyz) as found:
        yield found


@pytest.fixture(scope="module")
def at_work(pyz: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, FakePanel]]:
    """One running agent for all tests of a module that only give it something to do."""
    with fake_panel() as panel, program_in(tmp_path_factory.mktemp("at_work"), pyz) as program:
        enrol(program.state, panel.url, CODE)
        program.start()
        panel.until(lambda: panel.hellos)
        yield program, panel


@pytest.fixture
def agent(program: Program, panel: FakePanel) -> Program:
    """Enrolled with the fake panel, not started."""
    enrol(program.state, panel.url, CODE)
    return program


def lines_of(path: Path) -> list[str]:
    """What scripts have appended to a file: how often something was run."""
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def wait_until(condition: Callable[[], object], limit: float = 60) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit} s"
        time.sleep(0.01)


def _kill_sessions(state: Path) -> None:
    """What scripts left running."""
    for path in state.glob("runs/*/steps/*/pid"):
        with suppress(OSError, ValueError):
            os.killpg(int(path.read_text()), signal.SIGKILL)


def identity(state: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((state / "identity.json").read_text())
    return found
