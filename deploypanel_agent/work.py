"""Carrying out one run, from its beginning or from where an earlier process left it.

The script is gone through from the top each time: what the journal says is done is not done again, and a command is
run once whatever happens (see command.py).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from deploypanel_agent.build_script import Download, Script, ScriptError, Shell, Step, script_read
from deploypanel_agent.condition import condition_holds
from deploypanel_agent.errors import AgentError
from deploypanel_agent.limits import Cut, Limits
from deploypanel_agent.shell_step import Done, ShellAttempt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploypanel_agent.held import Held
    from deploypanel_agent.story import Story

LONGEST_PAUSE = 30.0  # seconds between two attempts
SECRETS = ("PROSTAGMA_SECRET", "DEPLOYPANEL_AGENT_CODE")  # of the agent's own environment; scripts do not get them


class Files(Protocol):
    """Where downloads come from."""

    def fetch(self, step: Download, dest: Path, limits: Limits) -> str:
        """Put the file at `dest`, whole or not at all; a sentence on it. Raises AgentError, Cut, Leaving."""


class Scripts(Protocol):
    """Where build scripts come from."""

    def script_for(self, order: Mapping[str, Any]) -> str:
        """The YAML for this order. Raises AgentError when there is none, or none to be trusted."""


@dataclass(frozen=True)
class Surroundings:
    """What a run needs of the agent."""

    shell: str
    files: Files
    scripts: Scripts


class Work:
    """One run at work, in a thread of its own."""

    def __init__(self, held: Held, story: Story, limits: Limits, around: Surroundings) -> None:
        self._held = held
        self._story = story
        self._limits = limits
        self._around = around
        self._payload = held.order.get("payload")

    def run(self) -> None:
        """To its end, which is in the journal then. Raises Leaving when this process ends before.

        Raises OSError when this machine's disk lets nothing be written down: then nothing may go on, but `run` may be
        called again.
        """
        try:
            script = self._script()
            self._story.started()
            state, summary = self._steps(script)
        except ScriptError as error:
            state, summary = "failed", f"The build script is wrong, nothing was run: {error}"
        except AgentError as error:
            state, summary = "failed", str(error)
        except Cut as cut:
            state, summary = cut.state, str(cut)
        self._story.ended(state, summary)

    def _script(self) -> Script:
        if self._held.begun:
            # A command may be at work: whoever comes to it looks at the limits, and ends it when the run has to end.
            return script_read(self._held.fixed_script())
        self._limits.check()
        text = self._around.scripts.script_for(self._held.order)
        script = script_read(text)
        self._held.fix_script(text)
        return script

    def _steps(self, script: Script) -> tuple[str, str]:
        """How the run ended, and in what words."""
        failures = 0
        for step in script.steps:
            done = self._told(step) or self._do(step)
            if done.ok:
                continue
            if done.final or not step.options.continue_on_error:
                return "failed", f"Step {_stage(step)}: {done.message}"
            failures += 1
        words = f"{len(script.steps)} step{'s' if len(script.steps) != 1 else ''} done"
        return "succeeded", f"{words}, {failures} of them failed and may." if failures else f"{words}."

    def _told(self, step: Step) -> Done | None:
        """What an earlier process made of the step."""
        event = self._story.told(f"step {step.position} end")
        if event is None:
            return None
        final = self._story.told(f"final {step.position}") is not None
        return Done(event["state"] in ("succeeded", "skipped"), str(event.get("message") or ""), final=final)

    def _do(self, step: Step) -> Done:
        stage = _stage(step)
        if step.options.when is not None and not condition_holds(step.options.when, self._payload):
            self._story.step(step.position, stage, "skipped", message="Its “when” does not hold for the payload.")
            return Done(True)
        self._story.step(step.position, stage, "running")
        try:
            done = self._attempts(step)
        except Cut as cut:
            self._story.step(step.position, stage, "stopped", message=str(cut))
            raise
        if done.final:
            self._story.note(f"{done.message}\n", key=f"final {step.position}")
        elif not done.ok and step.options.continue_on_error:
            self._story.note(f"{done.message} The script goes on.\n", key=f"goes on {step.position}")
        state = "succeeded" if done.ok else "failed"
        self._story.step(step.position, stage, state, exit_status=done.exit, message=done.message)
        return done

    def _attempts(self, step: Step) -> Done:
        for attempt in range(step.options.retries + 1):
            done = self._attempt(step, attempt)
            if done.ok or done.final or attempt == step.options.retries:
                return done
            again = f"{done.message} Attempt {attempt + 2} of {step.options.retries + 1} follows.\n"
            if self._story.told(f"again {step.position}-{attempt}") is None:
                self._story.note(again, key=f"again {step.position}-{attempt}")
                self._limits.pause(min(LONGEST_PAUSE, 2.0**attempt))
                self._limits.heard()
        raise AssertionError("there is always a last attempt")

    def _attempt(self, step: Step, attempt: int) -> Done:
        if isinstance(step, Shell):
            return ShellAttempt(
                step,
                attempt,
                folder=self._held.folder / "steps",
                shell=self._around.shell,
                env=self._environment(step),
                story=self._story,
                limits=self._limits,
            ).run()
        return self._download(step, attempt)

    def _download(self, step: Download, attempt: int) -> Done:
        """A download may be begun again at any time: it shows itself only when it is whole."""
        self._story.note(f"{step.url} → {step.dest}\n", key=f"begin {step.position}-{attempt}")
        within = DownloadLimits(self._limits, step.options.timeout)
        dest = Path(step.options.cwd or Path.cwd()) / step.dest
        try:
            told = self._around.files.fetch(step, dest, within)
        except (AgentError, OSError) as error:
            return Done(False, _sentence(error))
        self._story.note(told + "\n")
        return Done(True)

    def _environment(self, step: Step) -> dict[str, str]:
        order = self._held.order
        kept = {name: value for name, value in os.environ.items() if name not in SECRETS}
        return {
            **kept,
            "DEPLOYPANEL_PAYLOAD": str(self._held.folder / "payload.json"),
            "DEPLOYPANEL_TRIGGER": self._held.trigger,
            "DEPLOYPANEL_COUNT": str(self._held.count),
            "DEPLOYPANEL_RUN": str(order["run"]),
            **step.options.env,
        }


class DownloadLimits(Limits):
    """The run's limits, and the step's own time-out."""

    def __init__(self, limits: Limits, timeout: float | None) -> None:
        self._whole = limits
        self._timeout = timeout
        self._until = time.monotonic() + timeout if timeout else None

    def heard(self) -> None:
        self._whole.heard()

    def check(self) -> None:
        self._whole.check()
        if self._until is not None and time.monotonic() > self._until:
            raise AgentError(f"It took longer than {self._timeout:g} s.")

    def pause(self, seconds: float) -> None:
        self.check()
        self._whole.pause(min(seconds, 5.0))


def limits_for(held: Held, *, leaving: Any, now: float) -> Limits:
    """The limits of a run, less the time that earlier processes have spent on it."""
    since = held.begun_at() if held.begun else None  # by this machine's clock, as `now`; the journal has the panel's
    return Limits(
        time_limit=float(held.order.get("time_limit") or 0),
        silence_limit=float(held.order.get("silence_limit") or 0),
        already=max(0.0, now - since) if since is not None else 0.0,
        stop_by=lambda: held.stop_by,
        leaving=leaving,
    )


def _stage(step: Step) -> str:
    return f"{step.position + 1} {step.kind}"


def _sentence(error: Exception) -> str:
    text = str(error)
    return text if text.endswith(".") else f"{text}."
