"""A firing becomes a run on the machine, whose story the panel hears."""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.agent_program.conftest import OLDEST, Program, identity, lines_of, wait_until
from tests.fakes.agent_panel import FakePanel, FakeRun

numbers = count(1)
AtWork = tuple[Program, FakePanel]


@pytest.fixture
def fire(at_work: AtWork) -> Iterator[object]:
    """Fire a trigger of this test's own with a script that the panel holds; the run when it has ended."""

    def fired(script: str, **more: object) -> FakeRun:
        number = next(numbers)
        run = at_work[1].fire(f"trigger{number}", number, script, **more)
        at_work[1].ended(run)
        return run

    return fired


@pytest.mark.parametrize("python", [OLDEST, sys.executable])
def test_a_firing_runs_the_script_and_tells_its_story(python: str | None, agent: Program, panel: FakePanel) -> None:
    if python is None:
        pytest.skip("there is no Python 3.9 here")
    agent.python = python
    agent.scripts(web="steps:\n  - shell: |\n      echo one\n      echo two >&2\n  - shell: echo $DEPLOYPANEL_COUNT\n")
    agent.start()
    run = panel.fire("web", 42)
    assert panel.ended(run)["state"] == "succeeded"
    assert run.events[0]["kind"] == "started"
    assert run.text("out") == "one\n42\n"
    assert run.text("err") == "two\n"
    assert run.steps == [(0, "running"), (0, "succeeded"), (1, "running"), (1, "succeeded")]
    hello = panel.hellos[0]
    assert (hello["protocol"], hello["runs"], hello["finished"]) == (1, {}, {})
    wait_until(lambda: agent.held() == set())
    assert agent.stop() == 0
    agent.start()
    panel.until(lambda: len(panel.hellos) > 1)
    assert panel.hellos[1]["finished"] == {"web": 42}


def test_the_payload_decides_and_is_there_for_the_script(fire) -> None:
    script = """
steps:
  - shell: echo $GREETING $DEPLOYPANEL_TRIGGER; cat $DEPLOYPANEL_PAYLOAD
    env: {GREETING: hello}
    cwd: /
    when: {all: [{equals: {/branch: main}}, {matches: {/tag: "v*"}}]}
  - shell: echo never
    when: {not: {present: /branch}}
"""
    payload = {"branch": "main", "tag": "v1.2", "text": "zwölf", "half": "\ud800"}
    run = fire(script, payload=payload)
    assert run.ended["state"] == "succeeded"
    greeting, told = run.text("out").split("\n")[:2]
    assert greeting.startswith("hello trigger")
    assert json.loads(told) == payload | {"half": "?"}
    assert run.steps == [(0, "running"), (0, "succeeded"), (1, "skipped")]


def test_lines_are_run_one_by_one_and_a_script_at_once(fire) -> None:
    run = fire('steps:\n  - shell: |\n      X=1\n      echo "<$X>"\n      exit 3\n      echo never\n')
    assert (run.ended["state"], run.text("out")) == ("failed", "<>\n")
    assert "status 3" in run.ended["summary"]
    assert [event.get("exit") for event in run.events if event["kind"] == "step"] == [None, 3]
    run = fire('steps:\n  - script: true\n    shell: |\n      X=1\n      echo "<$X>"\n      false\n      echo never\n')
    assert (run.ended["state"], run.text("out")) == ("failed", "<1>\n")


def test_a_step_is_tried_again_and_may_fail(fire, tmp_path: Path) -> None:
    done = tmp_path / "done"
    script = f"""
steps:
  - shell: echo x >> {done}; test $(wc -l < {done}) -ge 2
    retries: 3
  - shell: exit 7
    continue_on_error: true
  - shell: echo after
"""
    run = fire(script)
    assert run.ended["state"] == "succeeded"
    assert lines_of(done) == ["x", "x"]
    assert run.steps == [
        (0, "running"),
        (0, "succeeded"),
        (1, "running"),
        (1, "failed"),
        (2, "running"),
        (2, "succeeded"),
    ]
    assert "Attempt 2 of 4" in run.text("note")
    assert run.text("out") == "after\n"


def test_an_attempt_has_a_time_out(fire) -> None:
    run = fire("steps:\n  - shell: sleep 60\n    timeout: 1\n    continue_on_error: true\n  - shell: echo after\n")
    assert run.ended["state"] == "succeeded"
    assert (0, "failed") in run.steps
    assert run.text("out") == "after\n"
    assert "Sent SIGINT" in run.text("note")
    assert "It took longer than 1 s. The script goes on.\n" in run.text("note")


@pytest.mark.parametrize(
    ("limit", "script"), [("time_limit", "while :; do echo x; sleep 0.1; done"), ("silence_limit", "sleep 60")]
)
def test_a_run_has_limits(limit: str, script: str, fire) -> None:
    run = fire(f"steps:\n  - shell: {script!r}\n  - shell: echo never\n", **{limit: 1})
    assert run.ended["state"] == "timed_out"
    assert run.steps == [(0, "running"), (0, "stopped")]
    assert "never" not in run.text("out")


def test_a_stop_ends_all_that_a_run_has_started(at_work: AtWork, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    lines = f"sleep 60 &\n      echo $! > {pids}\n      echo begun\n      sleep 60\n"
    script = f"steps:\n  - script: true\n    shell: |\n      {lines}"
    run = at_work[1].fire("stopped", 1, script)
    at_work[1].until(lambda: "begun" in run.text())
    at_work[1].stop(run, "ann")
    assert at_work[1].ended(run)["state"] == "stopped"
    assert "ann" in run.ended["summary"]
    (pid,) = lines_of(pids)
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_run_that_waits_its_turn_can_be_stopped(at_work: AtWork) -> None:
    panel = at_work[1]
    first = panel.fire("turns", 1, "steps:\n  - shell: echo begun; sleep 60\n")
    second = panel.fire("turns", 2, "steps:\n  - shell: echo never\n")
    panel.until(lambda: "begun" in first.text())
    panel.stop(second)
    assert panel.ended(second)["state"] == "stopped"
    assert second.events[0]["kind"] == "ended"
    panel.stop(first)
    panel.ended(first)


def test_nothing_is_run_without_the_panels_signature(fire, at_work: AtWork) -> None:
    script = "steps:\n  - shell: echo mine\n"
    other = at_work[1].sign(999, "web", 1, script)  # of another run
    for wrong in (other, "", "x", None, "A" * 342 + "=="):
        run = fire(script, signature=wrong)
        assert run.ended["state"] == "failed"
        assert "signature" in run.ended["summary"]
        assert len(run.events) == 1


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("steps:\n  - shel: echo\n", "line 2, column 5"),
        ("steps:\n  - shell: echo\n    cwd: /does/not/exist\n", "/does/not/exist"),
        ("steps:\n  - shell: no-such-program-here\n", "not found"),
    ],
)
def test_what_is_wrong_is_told(script: str, words: str, fire) -> None:
    run = fire(script)
    assert run.ended["state"] == "failed"
    assert words in run.ended["summary"]


def test_without_a_script_nothing_is_run(at_work: AtWork) -> None:
    run = at_work[1].fire("unknown", 1)
    assert at_work[1].ended(run)["state"] == "failed"
    assert "no build script for unknown" in run.ended["summary"]


def test_a_firing_that_is_too_old_is_told_and_not_run(fire) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(hours=2)
    run = fire("steps:\n  - shell: echo never\n", fired_at=before.isoformat(), max_age=3600)
    assert [event["kind"] for event in run.events] == ["ended"]
    assert run.ended["summary"].startswith("Not run: it was fired 7,200 seconds ago")


def test_the_agents_key_never_leaves_it_in_a_log(fire, at_work: AtWork) -> None:
    path = at_work[0].state / "identity.json"
    run = fire(f"steps:\n  - shell: cat {path}; printf '%s' {identity(at_work[0].state)['key']}\n")
    assert "box" in run.text()
    assert identity(at_work[0].state)["key"] not in json.dumps(run.events)


def test_odd_output_arrives_whole_and_harmless(fire) -> None:
    run = fire("steps:\n  - shell: printf 'a\\000b\\377c'; head -c 100000 /dev/zero | tr '\\0' 'x'; printf '\\nend'\n")
    assert run.ended["state"] == "succeeded"
    text = run.text("out")
    assert text.startswith("a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c")
    assert text.count("x") == 100_000
    assert text.endswith("end\n")
    assert "\0" not in text


def test_the_agent_tells_that_it_lives(at_work: AtWork) -> None:
    panel = at_work[1]
    run = panel.fire("beats", 1, "steps:\n  - shell: echo begun; sleep 60\n")
    panel.until(lambda: "begun" in run.text())
    panel.until(lambda: any(run.message["run"] in beat["runs"] for beat in panel.beats))
    panel.stop(run)
    panel.ended(run)


def test_firings_start_their_scripts_quickly(at_work: AtWork) -> None:
    """Half of them in less than a second, also on a machine with far too much to do; the bench says how fast it is."""
    panel, waits = at_work[1], []
    for number in range(1, 16):
        began = time.monotonic()
        run = panel.fire("quick", number, "steps:\n  - shell: echo now\n")
        panel.until(lambda run=run: run.text())
        waits.append(time.monotonic() - began)
        panel.ended(run)
    assert sorted(waits)[len(waits) // 2] < 1
