"""A unit for systemd. The commands of a run outlive a restart of the agent, which takes them up again."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import sys
import zipfile
from pathlib import Path

from deploypanel_agent.errors import AgentError

UNIT = """\
[Unit]
Description=Deploypanel agent
Wants=network-online.target
After=network-online.target

[Service]
User={user}
ExecStart={python} {program}{config} run
Environment=DEPLOYPANEL_AGENT_STATE={state}
EnvironmentFile=-/etc/default/deploypanel-agent
Restart=always
RestartSec=2
# Only the agent itself is stopped. What a run has started goes on, and the next agent takes it up.
KillMode=process
OOMPolicy=continue

[Install]
WantedBy=multi-user.target
"""
NAME = "deploypanel-agent.service"
_PLAIN = re.compile(r"[A-Za-z0-9/._+:@-]+")


def unit_text(*, user: str, python: str, program: str, state: str, config: str) -> str:
    """`config` empty: the usual place. Raises AgentError for a path that systemd would read as something else."""
    for value in (user, python, program, state, *([config] if config else [])):
        if not _PLAIN.fullmatch(value):
            raise AgentError(f"“{value}” cannot stand in a unit; use letters, digits and /._+:@- only.")
    named = f" --config {config}" if config else ""
    return UNIT.format(user=user, python=python, program=program, state=state, config=named)


def install(*, user: str, state: Path, units: Path, program: Path, config: str) -> list[str]:
    """Copy the program, write the unit, hand the state over to the user; what was done, in sentences."""
    account = _account(user)
    own = Path(sys.argv[0]).resolve()
    if not zipfile.is_zipfile(own):
        raise AgentError("Only the built file can be installed: run it as python3 deploypanel-agent.pyz install …")
    text = unit_text(user=user, python=sys.executable, program=str(program), state=str(state), config=config)
    if not units.is_dir():
        raise AgentError(f"There is no folder {units}: does this machine have systemd? Another one: --units DIR.")
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        if own != program.resolve():
            fresh = program.with_name(f".{program.name}.new")
            shutil.copyfile(own, fresh)
            fresh.chmod(0o755)
            fresh.replace(program)
        (units / NAME).write_text(text, encoding="utf-8")
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        _hand_over(state, account)
    except OSError as error:
        raise AgentError(f"{error.filename}: {error.strerror}. Run this as root.") from None
    return [
        f"Installed {program} and {units / NAME}.",
        "Start it with: systemctl daemon-reload && systemctl enable --now deploypanel-agent",
    ]


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise AgentError(f"There is no user {user} on this machine.") from None


def _hand_over(state: Path, account: pwd.struct_passwd) -> None:
    for folder, _, files in os.walk(state):
        for path in (folder, *(os.path.join(folder, name) for name in files)):  # noqa: PTH118
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
