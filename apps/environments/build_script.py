"""Build scripts as the panel's forms, files and runs read them. The language is the agents' own."""

from __future__ import annotations

from apps.access.errors import InputError
from deploypanel_agent.build_script import Download, Script, ScriptError, Shell, Step, script_read
from deploypanel_agent.condition import condition_holds

__all__ = ["Download", "Script", "Shell", "Step", "script_checked", "step_wanted"]


def script_checked(text: str) -> Script:
    """The script that this YAML describes; raises InputError, which tells line and column."""
    try:
        return script_read(text)
    except ScriptError as error:
        raise InputError(error.message, f"line {error.line}, column {error.column}") from None


def step_wanted(step: Step, payload: object) -> bool:
    """Whether its `when` holds for this payload; without one it always does."""
    return step.options.when is None or condition_holds(step.options.when, payload)
