"""The line to the panel: cut, refused, unanswered, and come back to."""

from __future__ import annotations

import re
import time
from pathlib import Path

from tests.agent_program.conftest import Program, wait_until
from tests.fakes.agent_door import CODE
from tests.fakes.agent_panel import FakePanel, fake_panel
from tests.fakes.fixtures import Authority

HELLO = "steps:\n  - shell: echo hello\n"


def test_what_happens_while_the_panel_is_away_is_told_later(agent: Program, panel: FakePanel, tmp_path: Path) -> None:
    agent.start()
    go = tmp_path / "go"
    script = f"steps:\n  - shell: while [ ! -e {go} ]; do sleep 0.05; done; seq 1 500\n"
    run = panel.fire("web", 1, script)
    panel.until(lambda: run.events)
    panel.refuse_upgrade = 503
    panel.drop_lines()
    go.touch()
    wait_until(lambda: '"ended"' in (agent.state / "runs/1/events").read_text())
    assert not run.ended
    panel.refuse_upgrade = 0
    assert panel.ended(run)["state"] == "succeeded"
    assert run.text("out") == "".join(f"{number}\n" for number in range(1, 501))


def test_lines_that_break_all_the_time_lose_nothing(agent: Program, panel: FakePanel) -> None:
    agent.start()
    script = "steps:\n  - shell: for i in $(seq 1 40); do echo $i; sleep 0.03; done\n"
    run = panel.fire("web", 1, script)
    for _ in range(3):
        seen = len(panel.hellos)
        panel.until(lambda seen=seen: len(panel.hellos) >= max(1, seen))
        panel.drop_lines()
        panel.until(lambda seen=seen: len(panel.hellos) > seen)
    assert panel.ended(run)["state"] == "succeeded"
    assert run.text("out") == "".join(f"{number}\n" for number in range(1, 41))


def test_without_websockets_it_polls(agent: Program, panel: FakePanel) -> None:
    panel.refuse_upgrade = 404
    agent.start()
    panel.until(lambda: panel.hellos)
    began = time.monotonic()
    run = panel.fire("web", 1, HELLO)
    assert panel.ended(run)["state"] == "succeeded"
    assert time.monotonic() - began < 15  # told at once, not at the end of a poll, which is after 25 seconds
    assert run.text("out") == "hello\n"
    wait_until(lambda: agent.held() == set())


def test_an_answer_that_gets_lost_is_asked_for_again(agent: Program, panel: FakePanel) -> None:
    """A poll is answered into nothing: the firing in it comes with the next session."""
    agent.start(DEPLOYPANEL_AGENT_TRANSPORT="poll")
    panel.until(lambda: panel.hellos)
    panel.drop_answers = 2
    run = panel.fire("web", 1, HELLO)
    assert panel.ended(run)["state"] == "succeeded"
    assert run.text("out") == "hello\n"
    assert len(panel.hellos) > 1


def test_a_firing_while_the_agent_is_away_waits_for_it(agent: Program, panel: FakePanel) -> None:
    run = panel.fire("web", 1, HELLO)
    agent.start()
    assert panel.ended(run)["state"] == "succeeded"


def test_a_revoked_key_is_told_and_not_hammered(agent: Program, panel: FakePanel) -> None:
    panel.close_with = 4401
    agent.start()
    panel.until(lambda: panel.hellos)
    wait_until(lambda: "does not know this agent's key" in agent.log.read_text())
    time.sleep(1)
    assert len(panel.hellos) == 1
    assert agent.stop() == 0  # at once, although it waits


def test_a_clock_that_is_wrong_is_reckoned_with(agent: Program, panel: FakePanel) -> None:
    panel.time_offset = 7200.0
    agent.start()
    panel.until(lambda: panel.hellos)
    wait_until(lambda: "seconds off the panel's" in agent.log.read_text())
    told = re.search(r"clock is -(\S+) seconds off", agent.log.read_text())
    assert told is not None
    assert 7100 < int(told[1].replace(",", "")) <= 7200  # less the time that the panel's word took
    run = panel.fire("web", 1, HELLO, max_age=3600)  # by the panel's clock it is two hours old
    assert panel.ended(run)["state"] == "failed"
    assert "Not run" in run.ended["summary"]


def test_forgotten_work_is_ended(agent: Program, panel: FakePanel) -> None:
    agent.start()
    run = panel.fire("web", 1, "steps:\n  - shell: echo begun; sleep 60\n")
    panel.until(lambda: "begun" in run.text())
    panel.forget(1)
    wait_until(lambda: agent.held() == set())
    again = panel.fire("web", 2, HELLO)
    assert panel.ended(again)["state"] == "succeeded"


def test_certificates_are_verified(program: Program, authority: Authority, tmp_path: Path) -> None:
    bundle = tmp_path / "own.pem"
    bundle.write_text(authority.bundle)
    with fake_panel(authority.pair) as panel:
        refused = program.command("enrol", panel.url, CODE)
        assert (refused.returncode, "its certificate is not trusted" in refused.stderr) == (2, True)
        program.env["DEPLOYPANEL_AGENT_CA"] = str(bundle)
        assert program.command("enrol", panel.url, CODE).returncode == 0
        program.start()
        run = panel.fire("web", 1, HELLO)
        assert panel.ended(run)["state"] == "succeeded"
        program.kill()
        del program.env["DEPLOYPANEL_AGENT_CA"]
        program.start()
        wait_until(lambda: "certificate" in program.log.read_text())
        assert len(panel.hellos) == 1
