"""Where build scripts come from: the panel's, signed; this machine's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploypanel_agent.errors import AgentError
from deploypanel_agent.signature import is_signed, signed_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploypanel_agent.config import Config
    from deploypanel_agent.identity import Identity


class PanelScripts:
    """Build scripts: the panel's if it sends one and has signed it, else this machine's."""

    def __init__(self, config: Config, identity: Identity) -> None:
        self._config = config
        self._identity = identity

    def script_for(self, order: Mapping[str, Any]) -> str:
        script = order.get("script")
        return self._own(str(order["trigger"])) if script is None else self._signed(order, str(script))

    def _signed(self, order: Mapping[str, Any], script: str) -> str:
        if not self._config.accept_scripts:
            raise AgentError("Not run: this agent takes no scripts from the panel (accept_scripts is off).")
        text = signed_text(self._identity.name, int(order["run"]), str(order["trigger"]), int(order["count"]), script)
        if not is_signed(self._identity.public_key, text, str(order.get("signature") or "")):
            raise AgentError("Not run: the script's signature is not the panel's.")
        return script

    def _own(self, trigger: str) -> str:
        path = self._config.scripts.get(trigger)
        if path is None:
            raise AgentError(
                f"Not run: this agent has no build script for {trigger}. Name one under “scripts” in its settings,"
                " or give the trigger one in the panel."
            )
        return script_file(path)


def script_file(path: str) -> str:
    """The text of a build script on this machine. Raises AgentError."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise AgentError(f"The build script {path} cannot be read: {why}.") from None
