"""The commands of `deploypanel-agent`.

Exit statuses: 0 done, 1 not connected (`status`), 2 bad usage, settings or script, 3 refused by the panel.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploypanel_agent import __version__, systemd
from deploypanel_agent.build_script import ScriptError, script_read
from deploypanel_agent.config import Config, address_checked, config_read
from deploypanel_agent.disk import read_json
from deploypanel_agent.errors import AgentError, ConfigError, PanelRefused
from deploypanel_agent.figures import Figures, serve
from deploypanel_agent.identity import Identity, enrol, identity_read, only_process
from deploypanel_agent.say import say
from deploypanel_agent.scripts import script_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploypanel_agent.agent import Agent
    from deploypanel_agent.old_agent import OldAgent

EXAMPLES = """examples:
  deploypanel-agent enrol https://panel.example 7K2M-9QXD-4HTB-W3NV
  deploypanel-agent check /etc/deploypanel/web.yaml
  deploypanel-agent run
  deploypanel-agent install --systemd --user deploy
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.act(options))
    except PanelRefused as error:
        return _failed(str(error), 3)
    except (AgentError, ScriptError) as error:
        return _failed(str(error), 2)
    except KeyboardInterrupt:
        return 130


def _failed(words: str, status: int) -> int:
    sys.stderr.write(f"deploypanel-agent: {words}\n".encode("utf-8", "replace").decode())
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deploypanel-agent",
        description="Runs build scripts when a trigger of a Deploypanel is fired.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"deploypanel-agent {__version__}")
    parser.add_argument("--config", default="", metavar="FILE", help="settings; default /etc/deploypanel-agent.yaml")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    one = commands.add_parser("enrol", help="trade a code of the panel's for a key of this agent's own")
    one.add_argument("url", metavar="URL", help="the panel's address, https://…")
    one.add_argument("code", metavar="CODE", help="from the agent's page in the panel")
    one.add_argument("--again", action="store_true", help="although this agent is enrolled already")
    one.add_argument("--insecure-http", action="store_true", help="allow http:// to another machine")
    one.set_defaults(act=_enrol)

    one = commands.add_parser("run", help="wait for firings, run their scripts")
    one.set_defaults(act=_run)

    one = commands.add_parser("check", help="read a build script, tell what is wrong with it")
    one.add_argument("script", metavar="SCRIPT")
    one.set_defaults(act=_check)

    one = commands.add_parser("status", help="who this agent is, and whether it is connected")
    one.add_argument("--json", dest="as_json", action="store_true")
    one.set_defaults(act=_status)

    one = commands.add_parser("install", help="write a unit for systemd")
    one.add_argument("--systemd", action="store_true", required=True)
    one.add_argument("--user", default="root", help="who runs the scripts; default root")
    one.add_argument("--units", default="/etc/systemd/system", metavar="DIR")
    one.add_argument("--program", default="/usr/local/bin/deploypanel-agent", metavar="FILE")
    one.set_defaults(act=_install)
    return parser


def _enrol(options: argparse.Namespace) -> int:
    config = config_read(os.environ, options.config)
    insecure = options.insecure_http or _insecure()
    url = address_checked(options.url, "URL")
    found = enrol(config.state, url, options.code, ca=config.ca, insecure=insecure, again=options.again)
    print(f"This agent is {found.name} of {found.url} now. Its key is in {config.state}.")
    return 0


def _run(options: argparse.Namespace) -> int:
    config = config_read(os.environ, options.config)
    try:
        config.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"The folder {config.state} cannot be made: {error.strerror}.") from None
    agent = _agent(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.leave())
    with only_process(config.state):
        say(f"deploypanel-agent {__version__} in {config.state}.")
        agent.run()
        say("Left. What is at work goes on, and is taken up at the next start.")
    return 0


def _agent(config: Config) -> Agent | OldAgent:
    """An enrolled agent; one that enrols now; or a client of an old server."""
    from deploypanel_agent.agent import Agent  # not for every command: a ZIP's modules are compiled each time
    from deploypanel_agent.old_agent import OldAgent

    identity = identity_read(config.state)
    if identity is None and config.code and config.url:
        identity = enrol(config.state, config.url, config.code, ca=config.ca, insecure=_insecure())
    figures = Figures()
    if config.metrics is not None:
        serve(figures, *config.metrics)
    if identity is not None:
        return Agent(config, identity, figures)
    if config.old is not None and config.old.url and config.old.secret:
        return OldAgent(config, config.old, figures)
    raise ConfigError(
        "This agent is not enrolled. Get a code on its page in the panel, then: deploypanel-agent enrol URL CODE"
        " (or set PROSTAGMA_HOST, PROSTAGMA_SECRET, PROSTAGMA_TRIGGER and PROSTAGMA_SCRIPT for an old server)."
    )


def _check(options: argparse.Namespace) -> int:
    try:
        script = script_read(script_file(options.script))
    except ScriptError as error:
        return _failed(f"{options.script}: {error}", 2)
    for step in script.steps:
        print(f"{step.position + 1:3} {step.kind} (line {step.line})")
    print(f"{options.script}: {len(script.steps)} step{'s' if len(script.steps) != 1 else ''}, nothing wrong.")
    return 0


def _status(options: argparse.Namespace) -> int:
    config = config_read(os.environ, options.config)
    told = _told(config, identity_read(config.state))
    if options.as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        for name, value in told.items():
            print(f"{name}: {value}")
    return 0 if told["connected"] else 1


def _told(config: Config, identity: Identity | None) -> dict[str, Any]:
    state: dict[str, Any] = read_json(config.state / "status.json") or {}
    running = _is_running(config.state)
    runs = config.state / "runs"
    return {
        "version": __version__,
        "agent": identity.name if identity else "not enrolled",
        "panel": identity.url if identity else config.old.url if config.old else "",
        "running": running,
        "connected": bool(running and state.get("connected")),
        "transport": state.get("transport", "") if running else "",
        "why not": state.get("why", "") if running else "It is not running.",
        "runs held": sorted(path.name for path in runs.iterdir() if path.name.isdecimal()) if runs.is_dir() else [],
        "finished": read_json(config.state / "finished.json") or {},
    }


def _is_running(state: Path) -> bool:
    if not (state / "lock").exists():
        return False
    try:
        with only_process(state):
            return False
    except AgentError:
        return True


def _install(options: argparse.Namespace) -> int:
    config = config_read(os.environ, options.config)
    named = options.config or os.environ.get("DEPLOYPANEL_AGENT_CONFIG", "")
    done = systemd.install(
        user=options.user,
        state=config.state,
        units=Path(options.units).absolute(),
        program=Path(options.program).absolute(),
        config=str(Path(named).absolute()) if named else "",
    )
    print("\n".join(done))
    return 0


def _insecure() -> bool:
    return os.environ.get("DEPLOYPANEL_AGENT_INSECURE_HTTP", "").lower() in ("1", "true", "yes", "on")
