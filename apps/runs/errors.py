"""How work ends other than well.

RunEnded                  raised inside a run to end it
├── RunFailed             expected: a script exited 1, a host was down → `failed`
├── RunStopped            a person asked for it → `stopped`
├── RunTimedOut           a limit was reached → `timed_out`
└── RunTaken              the row is no longer this runner's: it must vanish without a word

PanelError
└── ProcessError          a program could not be run, or not to its end
    ├── ProgramMissing    it is not installed; names the package
    └── ProcessTimeout    it took too long and was killed
"""

from __future__ import annotations

from apps.access.errors import PanelError


class RunEnded(Exception):
    """`str(error)` is the sentence that the run's page shows as its summary."""


class RunFailed(RunEnded):
    """The work could not be done, for a reason in the world and not in the panel. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class RunStopped(RunEnded):
    """Someone asked for the run to stop, and it did."""


class RunTimedOut(RunEnded):
    """The run took, or was silent for, longer than its limit."""


class RunTaken(RunEnded):
    """Another process has ended this run (the reaper, believing it dead)."""


class ProcessError(PanelError):
    """A program on the panel's machine could not be run."""


class ProgramMissing(ProcessError):
    """The program is not there; the sentence names the package that brings it."""


class ProcessTimeout(ProcessError):
    """The program took too long; it and all of its process group were killed."""
