"""Many firings for one agent while everything breaks: what came of them is on the agent's disk, line by line.

Used by the suite with some hundred firings, and by `python -m bench soak` with ten thousand.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.support.relay import Relay

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "the secret of the soak, long enough"
EACH = ("one", "two", "three")  # triggers whose every firing is a run
LATEST = "latest"  # firings during a run make one more run
MOST_RESTARTS = 4  # after more of them a supervisor lets half a minute pass before each
STALL = 60.0  # seconds without any progress


@dataclass
class Soak:
    """`url` and `restart` are the panel's; `relay` stands between the agent and it."""

    url: str
    relay: Relay
    restart: Callable[[], None]
    folder: Path
    firings: int
    seed: int
    agent: subprocess.Popen[bytes] | None = None
    fired: dict[str, int] = field(default_factory=dict)  # trigger → its last count
    broken: dict[str, int] = field(default_factory=dict)

    def enrol(self, code: str) -> None:
        """The real program; its scripts write the count that they got into a file for each trigger."""
        scripts = {}
        for name in (*EACH, LATEST):
            path = self.folder / f"{name}.yaml"
            path.write_text(f"steps:\n  - shell: echo $DEPLOYPANEL_COUNT >> {self.folder / name}\n")
            scripts[name] = str(path)
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("DEPLOYPANEL_", "PROSTAGMA_"))
        }
        self._env = kept | {
            "DEPLOYPANEL_AGENT_STATE": str(self.folder / "state"),
            "DEPLOYPANEL_AGENT_SCRIPTS": ",".join(f"{name}={path}" for name, path in scripts.items()),
        }
        argv = [sys.executable, "-m", "deploypanel_agent", "enrol", self.relay.url, code]
        subprocess.run(argv, cwd=ROOT, env=self._env, check=True, stdout=subprocess.DEVNULL)

    def run(self) -> float:
        """Fire all, break things meanwhile, wait until the agent has done all; the seconds that it took."""
        began, dice = time.monotonic(), random.Random(self.seed)
        faults = sorted(dice.sample(range(self.firings), max(3, self.firings // 60)))
        self._start_agent()
        with requests.Session() as session:
            for number in range(self.firings):
                trigger = dice.choice((*EACH, LATEST))
                self.fired[trigger] = self._fire(session, trigger, number)
                if faults and number == faults[0]:
                    faults.pop(0)
                    self._break(dice)
        self._wait_done()
        return time.monotonic() - began

    def counts(self, trigger: str) -> list[int]:
        """The counts with which the trigger's script was run, in this order."""
        path = self.folder / trigger
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def close(self) -> None:
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait(30)

    def _fire(self, session: requests.Session, trigger: str, number: int) -> int:
        """Until the panel has said yes; the key keeps a repeated request from being a second firing."""
        headers = {"Authorization": f"Bearer {SECRET}", "Idempotency-Key": f"{self.seed}-{number}"}
        deadline = time.monotonic() + STALL
        while True:
            try:
                answer = session.post(f"{self.url}/triggers/{trigger}/fire", headers=headers, timeout=10)
                if answer.status_code < 500:
                    assert answer.status_code in {200, 202}, (answer.status_code, answer.text)
                    return int(answer.json()["count"])
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline, "the panel does not answer"
            time.sleep(0.05)

    def _break(self, dice: random.Random) -> None:
        kinds = ("cut", "agent", "panel")
        kind = kinds[len(self.broken)] if len(self.broken) < len(kinds) else dice.choices(kinds, (6, 3, 1))[0]
        if kind == "panel" and self.broken.get(kind, 0) >= MOST_RESTARTS:
            kind = "cut"
        self.broken[kind] = self.broken.get(kind, 0) + 1
        if kind == "cut":
            self.relay.cut()
        elif kind == "agent":
            assert self.agent is not None
            self.agent.send_signal(signal.SIGKILL)
            self.agent.wait(30)
            self._start_agent()
        else:
            self.restart()

    def _start_agent(self) -> None:
        argv = [sys.executable, "-m", "deploypanel_agent", "run"]
        with (self.folder / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(argv, cwd=ROOT, env=self._env, stdout=log, stderr=log)

    def _wait_done(self) -> None:
        progress, since = -1, time.monotonic()
        while any(not self.counts(name) or self.counts(name)[-1] < count for name, count in self.fired.items()):
            done = sum(len(self.counts(name)) for name in self.fired)
            if done > progress:
                progress, since = done, time.monotonic()
            assert time.monotonic() - since < STALL, f"no progress at {done} runs; fired {self.fired}"
            time.sleep(0.1)
