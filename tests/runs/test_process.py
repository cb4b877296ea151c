"""The door to programs: their output, their end, and what is said when they cannot be run."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from apps.access.errors import InputError, PanelError
from apps.runs import process
from apps.runs.errors import ProcessError, ProcessTimeout, ProgramMissing
from apps.runs.machine import is_alive
from apps.runs.process import environment, run
from tests.support.runner import wait_until


def script(folder: Path, text: str, mode: int = 0o755) -> str:
    path = folder / "script"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_run_gives_output_and_status() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=10)
    assert (done.status, done.out, done.err, done.truncated) == (3, b"out\n", b"err\n", False)


def test_run_gives_the_signal_as_a_negative_status() -> None:
    assert run(["sh", "-c", "kill -9 $$"], timeout=10).status == -9


def test_run_feeds_input_of_any_size() -> None:
    data = os.urandom(1_000_000)
    assert run(["cat"], stdin=data, timeout=20).out == data
    assert run(["true"], stdin=data, timeout=20).status == 0  # it does not read it


def test_run_without_input_has_none() -> None:
    assert run(["cat"], timeout=10).out == b""


def test_run_captures_much_output_and_no_more_than_the_limit() -> None:
    done = run(["head", "-c", "5000000", "/dev/zero"], timeout=20)
    assert (len(done.out), done.truncated) == (5_000_000, False)
    done = run(["head", "-c", "5000000", "/dev/zero"], timeout=20, limit_bytes=1000)
    assert (len(done.out), done.truncated) == (1000, True)


def test_run_hostile_arguments_are_just_arguments() -> None:
    hostile = ["$(id)", "a;touch x", "`id`", "two\nlines", "'\"", "-n", "*", ""]
    assert run(["printf", "%s\\0", *hostile], timeout=10).out.split(b"\0")[:-1] == [one.encode() for one in hostile]


def test_run_with_a_nul_in_an_argument_is_bad_input() -> None:
    with pytest.raises(InputError, match="NUL"):
        run(["echo", "a\0b"], timeout=10)


def test_run_kills_the_whole_group_at_the_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = tmp_path / "pids"

    def clock() -> float:
        """Stands still until the script has begun, however long that takes here; then the time is over."""
        return 10.0 if pids.exists() and len(pids.read_text().split()) == 2 else 0.0

    monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=clock))
    with pytest.raises(ProcessTimeout, match=r"sh took longer than 0.5 seconds"):
        run(["sh", "-c", f"trap '' TERM; echo $$ > {pids}; sleep 600 & echo $! >> {pids}; wait"], timeout=0.5)
    wait_until(lambda: not any(is_alive(int(pid), None) for pid in pids.read_text().split()))


def test_run_does_not_wait_for_what_a_program_leaves_in_the_background() -> None:
    began = time.monotonic()
    done = run(["sh", "-c", "echo said; (sleep 20; echo late) & exit 0"], timeout=60)
    assert done.out == b"said\n"
    assert time.monotonic() - began < 15


def test_run_goes_on_when_output_is_closed_early() -> None:
    done = run(["sh", "-c", "exec >&- 2>&-; sleep 0.3; exit 4"], timeout=10)
    assert done.status == 4


@pytest.mark.parametrize(
    ("program", "remedy"), [("git-of-elsewhere", "install it"), ("rsync", "apt-get install rsync")]
)
def test_run_of_a_missing_program_names_the_package(
    program: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramMissing, match=remedy):
        run([program], timeout=10)


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("#!/no/such/interpreter\n", 0o755, "names an installed interpreter"),
        ("echo without a first line\n", 0o755, "#!/bin/sh"),
        ("#!/bin/sh\n", 0o644, "not executable"),
    ],
)
def test_run_of_a_script_that_cannot_be_run_says_why(tmp_path: Path, text: str, mode: int, words: str) -> None:
    with pytest.raises(ProcessError, match=words):
        run([script(tmp_path, text, mode)], timeout=10)


def test_run_in_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(PanelError, match="no such folder"):
        run(["true"], cwd=tmp_path / "gone", timeout=10)


def test_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYPANEL_SECRET_KEY", "pssst")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    given = environment(MORE="1")
    assert "DEPLOYPANEL_SECRET_KEY" not in given
    assert "GIT_DIR" not in given
    assert (given["LC_ALL"], given["https_proxy"], given["MORE"]) == ("C.UTF-8", "http://proxy:3128", "1")
    assert run(["sh", "-c", "echo $DEPLOYPANEL_SECRET_KEY"], timeout=10).out == b"\n"


def test_marker_of_the_run_is_in_every_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYPANEL_RUN", "7:token")
    for env in (None, {"PATH": os.environ["PATH"]}):
        assert run(["sh", "-c", "echo $DEPLOYPANEL_RUN"], env=env, timeout=10).out == b"7:token\n"
