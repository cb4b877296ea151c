"""Hosts that break in every way: they fail alone, are named first, and nothing is switched because of them."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.environments.models import Deployment, HostRelease
from apps.runs.models import Run
from apps.runs.states import RunState, StepState
from tests.support.runner import log_text
from tests.support.site import Build, Site, cell, explain
from tests.support.sshd import PrivateHost, keygen

Broken = tuple[Site, Run]


def deploy_with_broken_second(shop: Site, break_it: Callable[[], None]) -> Run:
    """One deployment goes well; then web2 breaks, and the next commit is deployed."""
    first = shop.deploy()
    assert first.state == RunState.SUCCEEDED, explain(first)
    break_it()
    shop.repo.commit({"index.html": "two\n", "big": "x" * 300_000})
    return shop.deploy()


def assert_fails_alone(shop: Site, run: Run, problem: str, stage: str = "connect") -> None:
    assert run.state == RunState.FAILED, explain(run)
    assert run.summary.startswith("web2: "), run.summary
    assert problem in run.summary
    assert "Nothing was switched" in run.summary
    assert cell(run, stage, "web2").state == StepState.FAILED
    assert cell(run, "copy", "web1").state == StepState.SUCCEEDED
    assert cell(run, "switch", "web1").state == StepState.SKIPPED
    assert shop.files(0)["index.html"] == "one\n"
    deployment = Deployment.objects.order_by("id").last()
    assert deployment is not None
    assert (deployment.hosts_failed, deployment.state) == (1, "failed")
    assert run.result["failures"][0]["host"] == "web2"
    assert run.result["failures"][0]["remedy"]


def test_down(site: Build) -> None:
    shop = site(2, method="symlink")
    run = deploy_with_broken_second(shop, shop.fleet[1].stop)
    assert_fails_alone(shop, run, "Nothing listens at 127.0.0.1")


def test_wrong_key(site: Build) -> None:
    shop = site(2, method="symlink")

    def break_it() -> None:
        other = shop.fleet.folder / "other"
        keygen(other)
        shop.fleet[1].authorized = Path(f"{other}.pub")
        shop.fleet[1].stop()
        shop.fleet[1].start()

    run = deploy_with_broken_second(shop, break_it)
    assert_fails_alone(shop, run, "It does not accept the key “fleet”")


def test_changed_host_key(site: Build) -> None:
    shop = site(2, method="symlink")
    old = shop.hosts[1].host_key
    run = deploy_with_broken_second(shop, shop.fleet[1].change_host_key)
    assert_fails_alone(shop, run, "The host key has changed: pinned is SHA256:")
    assert old != shop.fleet[1].host_key


def test_no_rsync(site: Build) -> None:
    shop = site(2, method="symlink")
    run = deploy_with_broken_second(shop, lambda: shop.fleet[1].hide("rsync"))
    assert_fails_alone(shop, run, "rsync is not installed there. Install it: apt-get install rsync.")


def mounted(folder: Path, *options: str) -> Callable[[], None]:
    """Put a small file system there; skips the test where that is not allowed."""
    done = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("may not mount file systems here")
    return lambda: subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True) and None


def test_full_disk(site: Build, request: pytest.FixtureRequest) -> None:
    shop = site(2, method="symlink")
    request.addfinalizer(mounted(shop.fleet[1].root, "-o", "size=200k"))
    run = deploy_with_broken_second(shop, lambda: None)
    assert_fails_alone(shop, run, "The disk is full", "copy")
    assert run.result["failures"][0]["lines"]
    assert "The disk is full" in log_text(run, host="")


def test_file_size_limit(site: Build) -> None:
    shop = site(2, method="symlink")

    def break_it() -> None:
        session = shop.fleet[1].folder / "session"
        session.write_text("ulimit -f 100\ntrap '' XFSZ\n" + session.read_text())

    run = deploy_with_broken_second(shop, break_it)
    # The receiver's own word for it is sometimes lost with its connection.
    words = ("larger than the host allows", "could not be read or written", "The connection broke")
    told = next(one for one in words if one in run.summary)
    assert_fails_alone(shop, run, told, "copy")


def test_read_only(site: Build, request: pytest.FixtureRequest) -> None:
    shop = site(2, method="symlink")
    if os.getuid():
        run = deploy_with_broken_second(shop, lambda: shop.fleet[1].root.joinpath("shop_releases").chmod(0o555))
        assert_fails_alone(shop, run, "may not write there", "copy")
        return
    root = shop.fleet[1].root
    request.addfinalizer(mounted(root))

    def break_it() -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True, capture_output=True)

    run = deploy_with_broken_second(shop, break_it)
    assert_fails_alone(shop, run, "The file system is read-only.", "copy")


def test_hanging_host_is_noticed(site: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYPANEL_SSH_CONNECT_TIMEOUT", "6")  # enough for web1, however slow the machine
    shop = site(2, method="symlink")
    run = deploy_with_broken_second(shop, shop.fleet[1].freeze)
    assert_fails_alone(shop, run, "did not finish the SSH greeting within 6 s")


def stuck_copy(host: PrivateHost) -> Path:
    """On this host rsync hears the beginning of what is sent, and then nothing more. The program, to be replaced."""
    host.hide("rsync")
    program = host.folder / "bin" / "rsync"
    program.write_text('#!/bin/sh\n{ dd bs=1k count=100 2>/dev/null; sleep 120; } | /usr/bin/rsync "$@"\n')
    program.chmod(0o755)
    return program


def when_copying(shop: Site, act: Callable[[], None]) -> threading.Thread:
    """Do it as soon as web2 receives files."""

    def watch() -> None:
        folder = shop.fleet[1].root / "shop_releases"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if any(path.name.startswith(".big") for path in folder.glob("*/.big*")):
                act()
                return
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.parametrize("how", ["cut", "freeze"])
def test_connection_lost_in_the_middle_of_the_copy(site: Build, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYPANEL_SSH_KEEPALIVE", "1")
    shop = site(2, method="symlink")
    first = shop.deploy()
    assert first.state == RunState.SUCCEEDED, explain(first)
    program = stuck_copy(shop.fleet[1])
    shop.repo.commit({"index.html": "two\n", "big": os.urandom(300_000)})
    thread = when_copying(shop, getattr(shop.fleet[1], how))
    started = time.monotonic()
    run = shop.deploy()
    thread.join()
    assert time.monotonic() - started < 50  # before rsync itself gives up
    assert run.state == RunState.FAILED, explain(run)
    assert run.summary.startswith("web2: "), run.summary
    assert cell(run, "copy", "web1").state == StepState.SUCCEEDED
    assert shop.files(0)["index.html"] == shop.files(1)["index.html"] == "one\n"
    shop.fleet[1].thaw()
    program.unlink()
    program.symlink_to("/usr/bin/rsync")
    again = shop.deploy()
    assert again.state == RunState.SUCCEEDED, explain(again)
    assert shop.files(1)["index.html"] == "two\n"


def test_tolerated_failure_lets_the_others_switch(site: Build) -> None:
    shop = site(3, method="symlink", tolerated_failures=1)
    run = deploy_with_broken_second(shop, shop.fleet[1].stop)
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert "Tolerated: web2: Nothing listens" in run.summary
    assert shop.files(0)["index.html"] == shop.files(2)["index.html"] == "two\n"
    assert shop.files(1)["index.html"] == "one\n"


def test_script_that_fails_on_one_host(site: Build) -> None:
    shop = site(2, method="symlink")
    script = '#!/bin/sh\necho "restarting on $2"\n[ "$2" = web1 ] || { echo no such service >&2; exit 3; }\n'
    shop.repo.commit({"deploy.sh": script})
    run = shop.deploy()
    assert run.state == RunState.FAILED, explain(run)
    assert run.summary.startswith("web2: deploy.sh ended with status 3.")
    assert "is live on all 2 hosts" in run.summary
    assert cell(run, "deploy script", "web2").exit_status == 3
    assert run.result["failures"][0]["lines"] == ["restarting on web2", "no such service"]
    assert HostRelease.objects.get(host=shop.hosts[0]).commit == shop.repo.shas[-1]
    assert not (shop.live(1) / "deploy.sh").exists()


def test_failing_tests_count_only_where_they_should(site: Build) -> None:
    shop = site(1, fail_on_tests=False)
    shop.repo.commit({"tests/run_tests.sh": "#!/bin/sh\nexit 1\n", "tests/run_local_tests.sh": "#!/bin/sh\nexit 1\n"})
    run = shop.deploy()
    assert run.state == RunState.SUCCEEDED, explain(run)
    assert "tolerates" in cell(run, "tests", "web1").message
    shop.environment.fail_on_tests = True
    shop.environment.save()
    run = shop.deploy()
    assert run.state == RunState.FAILED, explain(run)
    assert "tests/run_local_tests.sh ended with status 1: nothing was copied." in run.summary


def test_failing_predeploy_copies_nothing(site: Build) -> None:
    shop = site(1)
    shop.repo.commit({"predeploy.sh": "#!/bin/sh\necho no compiler\nexit 2\n"})
    run = shop.deploy()
    assert run.state == RunState.FAILED
    assert "predeploy.sh ended with status 2: nothing was copied." in run.summary
    assert "no compiler" in log_text(run)
    assert shop.release(0) is None
