"""The supervisor keeps the panel's processes alive and stops them all."""

from __future__ import annotations

import os
import signal
import socket

import pytest
import requests

from tests.support.panel import Panel, is_alive, wait_for
from tests.support.ports import free_port

pytestmark = [pytest.mark.panel]


@pytest.mark.database
def test_a_panel_is_healthy_and_stops_cleanly(panel: Panel) -> None:
    wait_for(lambda: panel.health().get("reasons") == [], 30, panel.output)
    told = requests.get(f"{panel.url}/prostagma/metrics", timeout=10).text
    for role in ("web", "worker", "clock"):
        assert f'deploypanel_process_resident_memory_bytes{{pid="{panel.main(role).pid}",role="{role}"}}' in told, told
    assert panel.stop() == 0
    wait_for(lambda: panel.processes() == [])  # killed is not yet gone
    assert "Traceback" not in panel.output()


def test_ctrl_c_stops_it_just_the_same(panel: Panel) -> None:
    assert panel.process is not None
    os.killpg(panel.process.pid, signal.SIGINT)
    assert panel.process.wait(60) == 0
    wait_for(lambda: panel.processes() == [])
    assert "Traceback" not in panel.output()


def test_a_stop_does_not_wait_for_open_connections(panel: Panel) -> None:
    with socket.create_connection(("127.0.0.1", panel.port)) as idle:
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")  # and never ends its request
        assert panel.stop() == 0
    assert "web process did not stop in time" not in panel.output()


@pytest.mark.parametrize("role", ["web", "worker", "clock"])
def test_a_killed_child_is_started_again(panel: Panel, role: str) -> None:
    before = panel.main(role)
    before.kill()
    wait_for(lambda: "was killed (SIGKILL); starting again" in panel.output(), 30, panel.output)
    wait_for(lambda: panel.main(role).pid != before.pid, 30, panel.output)
    panel.wait_healthy()


def test_callers_wait_while_the_web_process_is_started_again(panel: Panel) -> None:
    panel.main("web").kill()
    assert requests.get(f"{panel.url}/health", timeout=60).status_code in {200, 503}


def test_children_end_with_a_killed_supervisor_and_the_next_one_starts(panel: Panel) -> None:
    assert panel.process is not None
    web, clock = panel.main("web"), panel.main("clock")
    panel.process.kill()
    panel.process.wait()
    wait_for(lambda: not is_alive(web) and not is_alive(clock))
    panel.start()
    assert panel.stop() == 0


def test_orphans_of_a_killed_cluster_are_ended_by_the_next_start(panel: Panel) -> None:
    assert panel.process is not None
    orphans = panel.main("worker").children(recursive=True)
    for process in (panel.main("worker"), *orphans):
        process.suspend()  # so that none can end by itself
    panel.process.kill()
    panel.process.wait()
    panel.start()
    assert not any(is_alive(orphan) for orphan in orphans)
    assert panel.stop() == 0


def test_a_taken_port_is_one_clear_line(panel_stopped: Panel) -> None:
    with socket.create_server(("127.0.0.1", panel_stopped.port)):
        done = panel_stopped.manage("panel", "--prepare", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        (
            f"Port {panel_stopped.port} on 127.0.0.1 is taken: stop what listens there, "
            "or choose another with DEPLOYPANEL_PORT."
        )
    ]
    assert done.stdout == ""


def test_a_second_panel_of_the_same_data_is_refused(panel: Panel) -> None:
    done = panel.manage("panel", check=False, DEPLOYPANEL_PORT=str(free_port()))
    assert done.returncode == 1
    assert f"The panel of {panel.data} runs already (web, process" in done.stderr


def test_parts_run_alone(panel_stopped: Panel) -> None:
    panel_stopped.start("--only", "web", wait=False)
    wait_for(lambda: panel_stopped.health().get("status") == "failing", 60, panel_stopped.output)
    missing = ["workers: no worker has executed a task lately", "scheduler: no clock has ticked lately"]
    wait_for(lambda: panel_stopped.health().get("reasons") == missing, 30, panel_stopped.output)
    assert panel_stopped.processes("worker", "clock") == []
    assert panel_stopped.stop() == 0
