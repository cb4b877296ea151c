"""The old protocol: the same program as a client of any Prostagma server."""

from __future__ import annotations

from pathlib import Path

import requests

from tests.agent_program.conftest import Program, lines_of, wait_until
from tests.fakes.agent_panel import FakePanel
from tests.support.ports import free_port


def _set_up(program: Program, panel: FakePanel, tmp_path: Path, script: str) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(script, encoding="utf-8")
    program.env |= {
        "PROSTAGMA_HOST": panel.url,
        "PROSTAGMA_SECRET": panel.old_secret,
        "PROSTAGMA_TRIGGER": "web",
        "PROSTAGMA_SCRIPT": str(path),
        "PROSTAGMA_SHELL": "/bin/sh",
        "DEPLOYPANEL_AGENT_POLL": "0.2",
    }


def test_a_count_that_rises_runs_the_script_once(program: Program, panel: FakePanel, tmp_path: Path) -> None:
    done = tmp_path / "done"
    _set_up(
        program, panel, tmp_path, f"steps:\n  - shell: echo $DEPLOYPANEL_COUNT >> {done}; echo $PROSTAGMA_SECRET.\n"
    )
    panel.counts["web"] = 7
    panel.statuses = [500, 403]
    program.start()
    panel.until(lambda: panel.asked)
    wait_until((program.state / "old.json").exists)
    wait_until(lambda: f"{panel.url} answers; it is asked for web every 0.2 s." in program.log.read_text())
    program.kill()
    panel.counts["web"] = 10  # several at once, and while nobody was there
    program.start()
    wait_until(lambda: lines_of(done) == ["10"])
    wait_until(lambda: program.held() == set())
    program.kill()
    panel.counts["web"] = 3  # the server began anew
    asked = len(panel.asked)
    program.start()
    panel.until(lambda: len(panel.asked) > asked)
    wait_until(lambda: '"seen":3' in (program.state / "old.json").read_text())
    assert lines_of(done) == ["10"]
    assert panel.old_secret not in program.log.read_text()


def test_a_refusal_is_told_in_the_server_s_words(program: Program, panel: FakePanel, tmp_path: Path) -> None:
    _set_up(program, panel, tmp_path, "steps:\n  - shell: echo\n")
    program.env["PROSTAGMA_SECRET"] = "another one"
    program.start()
    wait_until(lambda: f"{panel.url}: The secret is missing or wrong." in program.log.read_text())


def test_a_run_that_a_crash_cut_short_is_taken_up(program: Program, panel: FakePanel, tmp_path: Path) -> None:
    done, gate = tmp_path / "done", tmp_path / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.02; done"
    _set_up(program, panel, tmp_path, f"steps:\n  - shell: echo x >> {done}; {wait}; echo y >> {done}\n")
    program.start()
    wait_until((program.state / "old.json").exists)
    program.kill()
    panel.counts["web"] = 1
    program.start()
    wait_until(lambda: lines_of(done) == ["x"])
    program.kill()
    program.start()
    gate.touch()
    wait_until(lambda: lines_of(done) == ["x", "y"] and program.held() == set())
    assert lines_of(done) == ["x", "y"]


def test_a_download_by_the_old_routes(program: Program, panel: FakePanel, tmp_path: Path) -> None:
    script = "steps:\n  - download:\n    cache: false\n    url: https://files.example/x\n    dest: x\n"
    script += "  - download_s3: {cache: true, url: 's3://b/k', dest: y}\n"
    _set_up(program, panel, tmp_path, script)
    panel.files = {"https://files.example/x": b"one", "s3://b/k": b"two"}
    port = free_port()
    panel.counts["web"] = 0
    program.start(PROSTAGMA_PROM_PORT=str(port))
    wait_until((program.state / "old.json").exists)
    program.kill()
    panel.counts["web"] = 1
    program.start(PROSTAGMA_PROM_PORT=str(port))
    wait_until((tmp_path / "y").exists)
    assert [(tmp_path / name).read_bytes() for name in ("x", "y")] == [b"one", b"two"]
    assert [asked["path"] for asked in panel.asked if "path" in asked] == ["/cache"]
    wait_until(lambda: 'runs_total{state="succeeded"} 1' in requests.get(f"http://127.0.0.1:{port}/metrics").text)
