"""Whatever dies at whatever moment: a command is run once, and its story is told once."""

from __future__ import annotations

import errno
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from deploypanel_agent import desk
from deploypanel_agent.agent import Agent
from deploypanel_agent.config import Config
from deploypanel_agent.figures import Figures
from deploypanel_agent.identity import enrol
from deploypanel_agent.processes import signal_session
from tests.agent_program.conftest import Program, lines_of, wait_until
from tests.fakes.agent_door import CODE
from tests.fakes.agent_panel import FakePanel, FakeRun

SLOW = """
steps:
  - shell: |
      echo one; echo one >> {done}
      echo two; echo two >> {done}; while [ ! -e {gate} ]; do sleep 0.02; done; echo waited
      echo three; echo three >> {done}
  - shell: echo four >> {done}
"""
ALL = ["one", "two", "three", "four"]


def _slow(tmp_path: Path) -> tuple[Path, Path, str]:
    """What was done, the gate that the second command waits for, and the script."""
    done, gate = tmp_path / "done", tmp_path / "gate"
    return done, gate, SLOW.format(done=done, gate=gate)


def test_a_command_goes_on_while_the_agent_is_dead(agent: Program, panel: FakePanel, tmp_path: Path) -> None:
    done, gate, script = _slow(tmp_path)
    agent.start()
    run = panel.fire("web", 1, script)
    wait_until(lambda: lines_of(done) == ["one", "two"])
    agent.kill()
    agent.start()
    panel.until(lambda: len(panel.hellos) > 1)
    gate.touch()
    assert panel.ended(run)["state"] == "succeeded"
    assert lines_of(done) == ALL
    assert run.text("out") == "one\ntwo\nwaited\nthree\n"
    assert [event["kind"] for event in run.events].count("started") == 1


@pytest.mark.parametrize("offset", [-7200.0, 7200.0])
def test_a_wrong_clock_uses_up_no_time_of_a_run(
    agent: Program, panel: FakePanel, tmp_path: Path, offset: float
) -> None:
    """The journal has the panel's time; an agent that comes back does not know yet how far its own is off."""
    done, gate, script = _slow(tmp_path)
    panel.time_offset = offset
    agent.start()
    run = panel.fire("web", 1, script, max_age=0)
    wait_until(lambda: lines_of(done) == ["one", "two"])
    agent.kill()
    agent.start()
    panel.until(lambda: len(panel.hellos) > 1)
    gate.touch()
    assert panel.ended(run)["state"] == "succeeded"
    assert lines_of(done) == ALL


def test_a_command_that_ended_meanwhile_is_not_run_again(agent: Program, panel: FakePanel, tmp_path: Path) -> None:
    done, gate, script = _slow(tmp_path)
    agent.start()
    run = panel.fire("web", 1, script)
    wait_until(lambda: lines_of(done) == ["one", "two"])
    agent.kill()
    gate.touch()
    wait_until(lambda: list(agent.state.glob("runs/*/steps/0-0-1/exit")))
    agent.start()
    assert panel.ended(run)["state"] == "succeeded"
    assert lines_of(done) == ALL
    assert run.text("out") == "one\ntwo\nwaited\nthree\n"


def test_what_may_have_run_in_part_is_not_run_again(agent: Program, panel: FakePanel, tmp_path: Path) -> None:
    """The machine went down: the command is gone, and it left no status."""
    done, _, script = _slow(tmp_path)
    agent.start()
    run = panel.fire("web", 1, script)
    wait_until(lambda: lines_of(done) == ["one", "two"])
    agent.kill()
    (pid,) = lines_of(next(agent.state.glob("runs/*/steps/0-0-1/pid")))
    os.killpg(int(pid), signal.SIGKILL)
    agent.start()
    assert panel.ended(run)["state"] == "failed"
    assert "may have run in part" in run.ended["summary"]
    assert lines_of(done) == ["one", "two"]


def test_after_another_boot_nothing_is_begun(agent: Program, panel: FakePanel, tmp_path: Path) -> None:
    """A power cut may lose the claim that a command made; what was synced before says that it may have run."""
    done, _, script = _slow(tmp_path)
    agent.start()
    run = panel.fire("web", 1, script)
    wait_until(lambda: lines_of(done) == ["one", "two"])
    agent.kill()
    folder = next(agent.state.glob("runs/*/steps/0-0-1"))
    os.killpg(int((folder / "pid").read_text()), signal.SIGKILL)
    for name in ("claim", "pid", "out", "err"):
        (folder / name).unlink(missing_ok=True)
    (folder / "begun").write_text("another boot")
    agent.start()
    assert panel.ended(run)["state"] == "failed"
    assert lines_of(done) == ["one", "two"]


def test_kills_at_any_moment_neither_lose_nor_double_anything(agent: Program, panel: FakePanel, tmp_path: Path) -> None:
    """Seeded. Firings in a row, the agent killed and the line cut again and again."""
    dice, done, runs = random.Random(4), tmp_path / "done", []
    first = "shell: |\n      echo $DEPLOYPANEL_COUNT >> {0}\n      echo $DEPLOYPANEL_COUNT\n"
    script = f"steps:\n  - {first}  - shell: echo -$DEPLOYPANEL_COUNT >> {{0}}\n"
    agent.start()
    for number in range(1, 25):
        runs.append(panel.fire("web", number, script.format(done)))
        if dice.random() < 0.35:
            time.sleep(dice.random() * 0.4)
            agent.kill()
            agent.start()
        elif dice.random() < 0.3:
            panel.drop_lines()
    for run in runs:
        assert panel.ended(run, 60)["state"] == "succeeded", run.ended
    assert lines_of(done) == [f"{sign}{number}" for number in range(1, 25) for sign in ("", "-")]
    for run in runs:
        assert run.text("out") == f"{run.message['count']}\n"
        assert [event["kind"] for event in run.events].count("ended") == 1


def test_a_run_that_was_dropped_is_never_run_again(agent: Program, panel: FakePanel, tmp_path: Path) -> None:
    """A panel that was restored from a backup asks for what was done."""
    done, gate, script = _slow(tmp_path)
    gate.touch()
    agent.start()
    run = panel.fire("web", 1, script)
    panel.ended(run)
    wait_until(lambda: agent.held() == set())
    agent.kill()
    panel.runs[1] = again = FakeRun(run.message, events=run.events[:3])
    agent.start()
    assert panel.ended(again)["state"] == "failed"
    assert "run before" in again.ended["summary"]
    assert len(again.events) == 4
    assert lines_of(done) == ALL


def test_what_began_on_another_machine_with_this_key_is_not_begun(
    agent: Program, panel: FakePanel, tmp_path: Path
) -> None:
    """A copied disk, or one that was lost: the panel has heard of the run, and nothing of it is here."""
    done, gate, script = _slow(tmp_path)
    gate.touch()
    panel.fire("web", 1, script).events.append({"kind": "started"})
    other = panel.fire("api", 1, "steps: [{shell: 'true'}]")
    agent.start()
    assert panel.ended(other)["state"] == "succeeded"
    wait_until(lambda: "Run 1 is not taken" in agent.log.read_text())
    assert lines_of(done) == []
    assert "1" not in agent.held()


def test_a_number_that_a_restored_panel_gives_out_again_is_another_run(
    agent: Program, panel: FakePanel, tmp_path: Path
) -> None:
    done, _, script = _slow(tmp_path)
    agent.start()
    old = panel.fire("web", 5, script)
    wait_until(lambda: lines_of(done) == ["one", "two"])
    panel.until(lambda: old.text("out") == "one\ntwo\n")  # nothing of it is on its way any more
    panel._number = 0
    panel.runs.clear()
    panel.drop_lines()
    new = panel.fire("web", 4, "steps: [{shell: echo new}]")
    assert panel.ended(new)["state"] == "succeeded"
    assert (new.text("out"), old.ended) == ("new\n", None)
    assert lines_of(done) == ["one", "two"]  # of the old one nothing more was done


def test_a_stop_is_kept_over_a_crash(agent: Program, panel: FakePanel, tmp_path: Path) -> None:
    done, _, script = _slow(tmp_path)
    agent.start()
    run = panel.fire("web", 1, script)
    wait_until(lambda: lines_of(done) == ["one", "two"])
    agent.process.send_signal(signal.SIGSTOP)
    held = next(agent.state.glob("runs/1"))
    agent.kill()
    (keeper,) = lines_of(held / "steps" / "0-0-1" / "pid")
    (held / "stop.json").write_text('{"by": "ann"}')
    agent.start()
    assert panel.ended(run)["state"] == "stopped"
    assert not signal_session(int(keeper), signal.SIGCONT)  # nobody is there to hear it
    assert lines_of(done) == ["one", "two"]


def test_a_time_limit_that_is_over_when_the_agent_comes_back_ends_the_command(
    agent: Program, panel: FakePanel, tmp_path: Path
) -> None:
    done, _, script = _slow(tmp_path)
    agent.start()
    run = panel.fire("web", 1, script, time_limit=3600)
    wait_until(lambda: lines_of(done) == ["one", "two"])
    agent.kill()
    held = next(agent.state.glob("runs/1"))
    (keeper,) = lines_of(held / "steps" / "0-0-1" / "pid")
    two_hours_ago = time.time() - 7200
    os.utime(held / "payload.json", (two_hours_ago, two_hours_ago))
    agent.start()
    assert panel.ended(run)["state"] == "timed_out"
    assert not signal_session(int(keeper), signal.SIGCONT)  # nobody is there to hear it
    assert lines_of(done) == ["one", "two"]


def test_leaving_politely_leaves_the_work_alone(agent: Program, panel: FakePanel, tmp_path: Path) -> None:
    done, gate, script = _slow(tmp_path)
    agent.start()
    run = panel.fire("web", 1, script)
    wait_until(lambda: lines_of(done) == ["one", "two"])
    assert agent.stop() == 0
    agent.start()
    panel.until(lambda: len(panel.hellos) > 1)
    gate.touch()
    assert panel.ended(run)["state"] == "succeeded"
    assert lines_of(done) == ALL


def test_a_long_log_is_bounded_and_its_end_is_kept(agent: Program, panel: FakePanel) -> None:
    agent.start(DEPLOYPANEL_AGENT_LOG_LIMIT="65536")
    run = panel.fire("web", 1, "steps:\n  - shell: seq 1 100000; echo the end\n")
    assert panel.ended(run)["state"] == "succeeded"
    text = run.text("out")
    assert text.startswith("1\n2\n")
    assert text.endswith("100000\nthe end\n")
    assert len(text) < 65536 + 300_000
    assert "left out" in run.text("note")


def test_a_disk_that_is_full_for_a_while_only_delays(
    tmp_path: Path, panel: FakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written down is not done: the run goes on from there when there is room again."""
    state, done, real, failures = tmp_path / "state", tmp_path / "done", os.fsync, []

    def full(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path.name == "events" and len(failures) < 3 and "step" in path.read_text():
            failures.append(path)
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(desk, "DISK_PAUSE", 0.05)
    monkeypatch.setattr(os, "fsync", full)
    agent = Agent(Config(state), enrol(state, panel.url, CODE), Figures())
    thread = threading.Thread(target=agent.run)
    thread.start()
    try:
        lines = f"echo one >> {done}\n      echo two >> {done}\n"
        run = panel.fire("web", 1, f"steps:\n  - shell: |\n      {lines}")
        assert panel.ended(run)["state"] == "succeeded"
    finally:
        agent.leave()
        thread.join(30)
    assert len(failures) == 3
    assert lines_of(done) == ["one", "two"]
    assert run.steps == [(0, "running"), (0, "succeeded")]
