"""A kind of run for tests, known to this process and to the runners that a test starts.

`params["do"]` names what it does; everything else in `params` is for that.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from django.utils import timezone

from apps.access.decision import Decision, RuleResult
from apps.access.errors import InputError
from apps.runs import process
from apps.runs.errors import RunFailed
from apps.runs.kinds import RunKind
from apps.runs.models import Run
from apps.runs.work import Work


class Trial(RunKind):
    name = "trial"
    label = "Trial"
    stages = ("one", "two")

    def admit(self, run: Run) -> Decision:
        """Open, unless `params["closed"]` or the file it names says otherwise."""
        if run.params.get("broken_gate"):
            raise RuntimeError("no gate")
        closed = run.params.get("closed")
        rule = RuleResult(name="trial", allowed=not closed, reason=str(closed or "open"))
        other = RuleResult(name="other", allowed=not closed, reason="Another reason." if closed else "open")
        opens = run.params.get("opens_at")
        return Decision(
            at=timezone.now(), rules=(rule, other), opens_at=timezone.datetime.fromisoformat(opens) if opens else None
        )

    def execute(self, work: Work) -> None:
        ACTS[work.run.params["do"]](work)

    def moved(self, run: Run) -> None:
        if run.params.get("broken_moved"):
            raise RuntimeError("cannot hear")

    def clean_up(self, run: Run) -> None:
        _tell(run, "clean_up")

    def settle(self, run: Run) -> None:
        _tell(run, "settle")
        time.sleep(run.params.get("settle_seconds", 0))
        if gate := run.params.get("settle_gate"):
            _wait_at(Path(gate))
        if run.params.get("broken_settle"):
            raise RuntimeError("cannot settle")


def _tell(run: Run, what: str) -> None:
    if path := run.params.get("tell"):
        with Path(path).open("a") as file:
            file.write(f"{what} {run.state}\n")


def _wait_at(gate: Path) -> None:
    """Until it is there; meanwhile a file beside it says which process waits."""
    gate.with_suffix(".pid").write_text(str(os.getpid()))
    while not gate.exists():
        time.sleep(0.05)


def _nothing(work: Work) -> None:
    work.log.note("nothing to do")


def _shell(work: Work) -> None:
    work.grace = work.run.params.get("grace", 5.0)
    for secret in work.run.params.get("secrets", []):
        work.mask(secret)
    status = work.execute(["sh", "-c", work.run.params["script"]], stage="one")
    if status:
        raise RunFailed(f"The script ended with status {status}.", hint="Look at the script.")


def _bug(work: Work) -> None:
    with work.step("one", "web1"):
        raise ZeroDivisionError("a bug of ours")


def _bad_input(work: Work) -> None:
    raise InputError("no such branch", "ref")


def _exits(work: Work) -> None:
    sys.exit(3)


def _hangs(work: Work) -> None:
    """Does not look whether it should stop."""
    work.grace = 0.5
    with work.step("one"):
        time.sleep(600)


def _captures(work: Work) -> None:
    """Waits for a command whose output is captured, and tidies up with another."""
    try:
        with work.step("one"):
            process.run(["sleep", "600"], timeout=600)
    finally:
        done = process.run(["echo", "tidied"], timeout=10)
        work.log.out(done.out)


def _silent(work: Work) -> None:
    with work.step("one"):
        while True:
            time.sleep(0.1)
            work.check()


def _callback(work: Work) -> None:
    """Waits in something that only its callback can end."""
    read, write = os.pipe()
    with work.step("one", "web1"), work.on_stop(lambda reason: os.write(write, reason.encode()) and None):
        data = os.read(read, 1000)
        work.log.note(f"called: {data.decode()}")
        raise OSError("the connection was closed")


def _talks(work: Work) -> None:
    for number in range(work.run.params["lines"]):
        work.log.out(f"line {number} of some length, as programs print them\n")


def _steps(work: Work) -> None:
    work.plan_steps(["one", "two"], ["", "web1", "web2"])
    with work.step("one", "web1") as step:
        step.message, step.exit_status = "good", 0
    with work.step("one", "web2") as step:
        step.skip("not needed")
    with work.step("two", "web1") as step:
        step.fail("went wrong")
    work.remember(copied=2)
    work.remember(switched=1)
    work.summary = "It went well."


def _odd_text(work: Work) -> None:
    """What hosts say and files are called may hold NULs, broken bytes, and secrets."""
    work.mask("s3cret-value")
    odd = "half\udcff a NUL\0 s3cret-value"
    work.remember(hosts={odd: [odd, {"lines": (odd,)}]}, count=3)
    with work.step("one", "web1") as step:
        step.fail(odd)
    raise RunFailed(odd)


ACTS: dict[str, Callable[[Work], None]] = {
    "nothing": _nothing,
    "shell": _shell,
    "bug": _bug,
    "bad_input": _bad_input,
    "exits": _exits,
    "hangs": _hangs,
    "captures": _captures,
    "silent": _silent,
    "callback": _callback,
    "talks": _talks,
    "steps": _steps,
    "odd_text": _odd_text,
}
