"""From a fresh clone to a push that deploys: the way a newcomer goes, with the demo."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from deploypanel.demo.rows import declaration
from deploypanel.demo.sesam import demo_nodes, nodes_make
from tests.support.panel import wait_for
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = [pytest.mark.panel]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files of this work tree as a clone would have them; `.venv` is shared, for installing takes half a minute."""
    folder = tmp_path / "my panel"  # blanks in paths are legal
    folder.mkdir()
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(
        ["rsync", "-a", "--ignore-missing-args", "--from0", "--files-from=-", f"{ROOT}/", f"{folder}/"],
        input=listed,
        check=True,
    )
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def test_make_run_brings_a_panel_that_deploys_on_push(clone: Path) -> None:
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("DEPLOYPANEL_")}
    env["DEPLOYPANEL_PORT"] = str(port)
    log = clone / "log"

    def run() -> subprocess.Popen[bytes]:
        with log.open("wb") as file:
            started = subprocess.Popen(["make", "run"], cwd=clone, env=env, stdout=file, stderr=file)
        wait_for(lambda: started.poll() is not None or healthy(port), 150, log.read_text)
        assert started.poll() is None, log.read_text()
        return started

    def manage(*arguments: str) -> str:
        argv = [clone / ".venv/bin/python", "manage.py", *arguments]
        return subprocess.run(argv, cwd=clone, env=env, capture_output=True, text=True, check=True).stdout

    make = run()
    try:
        said = log.read_text()
        found = re.search(r"Name: admin {3}Password: (\S+)", said)
        assert found, said
        assert sign_in(port, "admin", found[1])
        assert all(host["up"] for host in json.loads(manage("demo", "status", "--json")))
        pushed = push(clone / "var" / "demo" / "shop")
        assert "shop/staging" in pushed

        def deployed() -> list[object]:
            rows = json.loads(manage("runs", "list", "--json"))
            return [row for row in rows if row["subject"] == "shop/staging" and row["state"] == "succeeded"]

        wait_for(deployed, 90, lambda: manage("runs", "list"))
        for name in ("web1", "web2", "web3"):
            assert (clone / f"var/demo/{name}/disk/srv/staging/shop/.git_release").exists()
        nodes_follow(clone, manage)
        wait_for(lambda: triggers_worked(manage), 90, lambda: manage("runs", "list"))
        wait_for(lambda: not at_work(manage), 90, lambda: manage("runs", "list"))  # runs outlive the panel
        stop(make, signal.SIGTERM)
        wait_for(lambda: leftovers(clone) == [])

        make = run()
        assert "Password" not in log.read_text()
        assert "demo was" not in log.read_text()
        stop(make, signal.SIGINT)
        assert "Traceback" not in log.read_text()
        wait_for(lambda: leftovers(clone) == [])
    finally:
        if make.poll() is None:
            for child in psutil.Process(make.pid).children():
                child.kill()
            make.wait(30)
        for process in leftovers(clone):
            process.kill()


TRIED = {"_id": "tried", "type": "pipe", "source": {"type": "dataset", "dataset": "global-order"}}


def nodes_follow(clone: Path, manage: Callable[..., str]) -> None:
    """The node that applies by itself has what Git has, and what is pushed; the other waits for a person."""

    def state(name: str) -> object:
        return json.loads(manage("sesam", "status", name, "--json"))["state"]

    def pipes() -> dict[str, object]:
        entities: dict[str, object] = json.loads((clone / "var/demo/node-dev/state.json").read_text())["entities"]
        return entities

    wait_for(lambda: state("dev") == "in_sync", 90, lambda: manage("sesam", "status"))
    assert "global-product" in pipes()
    wait_for(lambda: state("main") == "behind", 90, lambda: manage("sesam", "status"))
    conf = clone / "var" / "demo" / "conf"
    (conf / "hub/node/pipes/tried.conf.json").write_text(json.dumps(TRIED))
    subprocess.run(["git", "add", "--all"], cwd=conf, check=True)
    assert "dev" in push(conf)
    wait_for(lambda: "tried" in pipes(), 90, lambda: manage("sesam", "status"))


def at_work(manage: Callable[..., str]) -> list[object]:
    return [run for run in json.loads(manage("runs", "list", "--json")) if run["ended_at"] is None]


def triggers_worked(manage: Callable[..., str]) -> bool:
    """The agent has done the demo's own firing and the push's; after the deployment its script was run over SSH."""
    runs = json.loads(manage("runs", "list", "--json"))
    done = [(run["kind"], run["subject"]) for run in runs if run["state"] == "succeeded"]
    return done.count(("agent", "build")) >= 2 and ("script", "smoke") in done


def stop(make: subprocess.Popen[bytes], number: int) -> None:
    """A signal to the panel, as a terminal's Ctrl-C gives it; make ends with it."""
    (panel,) = psutil.Process(make.pid).children()
    panel.send_signal(number)
    assert make.wait(90) == 0


def healthy(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def sign_in(port: int, name: str, password: str) -> bool:
    with requests.Session() as session:
        page = f"http://127.0.0.1:{port}/admin/login/"
        session.get(page, timeout=30)
        form = {"username": name, "password": password, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
        answer = session.post(page, data=form, headers={"Referer": page}, timeout=30, allow_redirects=False)
        return answer.status_code == 302


def push(clone: Path) -> str:
    git = ["git", "-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "Try it"], cwd=clone, check=True)
    return subprocess.run([*git, "push"], cwd=clone, check=True, capture_output=True, text=True).stderr


def leftovers(clone: Path) -> list[psutil.Process]:
    """Whatever still works in or for that clone."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DEPLOYPANEL_PANEL") == str(clone / "var"):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_without_the_tests_folder_there_are_no_nodes(tmp_path: Path, settings: Any) -> None:
    settings.BASE_DIR = tmp_path
    assert nodes_make(tmp_path) == []
    assert demo_nodes(tmp_path) == []
    declared = declaration(tmp_path, [], [])
    assert [one["name"] for one in declared["repositories"]] == ["shop"]
    assert "nodes" not in declared
    assert all("node" not in grant for user in declared["users"] for grant in user["grants"])
    assert not (tmp_path / "conf-secrets.json").exists()


def test_a_token_that_begins_with_a_dash_starts_its_node(tmp_path: Path) -> None:
    (node, *_others) = nodes_make(tmp_path)
    node.token.write_text("-a-token\n")
    started = subprocess.Popen(node.argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path)
    try:
        wait_for(lambda: node.is_up or started.poll() is not None)
        said = {"Authorization": "bearer -a-token"}
        assert requests.get(f"{node.url}/status", headers=said, timeout=30).status_code == 200
    finally:
        started.terminate()
        started.communicate(timeout=30)
