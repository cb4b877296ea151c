"""Build scripts: what a trigger does on a machine, read from YAML and wholly checked before anything runs.

    steps:
      - shell: |                      each line on its own, the first that fails ends the script
          systemctl stop web
          systemctl start web
      - shell: make release           with `script: true` all of it is one script under `set -e`
        script: true
        env: {STAGE: production}
        cwd: /srv/web
        timeout: 600                  seconds, for each attempt
        retries: 2                    so many further attempts
        continue_on_error: true
        when: {equals: {/branch: main}}
      - download: {url: "https://…/web.tar.gz", dest: /srv/web.tar.gz, cache: true, sha256: …}
      - download_s3: {url: "s3://bucket/key", dest: /srv/web.tar.gz}

Used by the agent and by the panel; knows neither.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

import yaml

from deploypanel_agent.condition import ConditionError, condition_checked
from deploypanel_agent.yaml_places import (
    ScriptError,
    document,
    error_at,
    flag_of,
    is_null,
    items,
    number_of,
    pairs,
    part,
    plain,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Download", "Options", "Script", "ScriptError", "Shell", "Step", "script_read"]

STEP_LIMIT = 200
KINDS = ("shell", "download", "download_s3")
OPTIONS = ("env", "cwd", "timeout", "retries", "continue_on_error", "when")
DOWNLOAD_FIELDS = ("url", "dest", "cache", "sha256")
LONGEST_TIMEOUT = 7 * 24 * 3600  # seconds
MOST_RETRIES = 100
URL_LIMIT = 2000  # characters
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_WEB = re.compile(r"https?://[^\s/]+(/\S*)?", re.IGNORECASE)
_S3 = re.compile(r"s3://[^\s/]+/\S.*")

Nodes = dict[str, tuple[yaml.Node, yaml.Node]]


@dataclass(frozen=True)
class Options:
    """What every kind of step may carry."""

    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = ""  # empty: where the agent works
    timeout: float | None = None  # seconds, for each attempt
    retries: int = 0  # further attempts after the first
    continue_on_error: bool = False
    when: Mapping[str, Any] | None = None  # a rule on the payload, see condition.py; None: always


@dataclass(frozen=True)
class Shell:
    """Commands. `text` is as written; `script`: all of it at once, else each line on its own."""

    position: int  # from 0
    line: int  # of the YAML, from 1
    text: str
    script: bool = False
    options: Options = field(default_factory=Options)
    kind: str = "shell"

    @property
    def commands(self) -> tuple[str, ...]:
        """What is given to the shell, one after the other: the whole under `set -e`, or each line that is not empty."""
        if self.script:
            return ("set -e\n" + self.text,)
        return tuple(line.rstrip("\r") for line in self.text.split("\n") if line.strip())


@dataclass(frozen=True)
class Download:
    """A file that the panel fetches (`kind` download: http or https; download_s3: s3://bucket/key) and hands over."""

    position: int
    line: int
    url: str
    dest: str
    cache: bool = False  # the panel may use what it has, if it is still the newest
    sha256: str = ""  # lower case; empty: not checked against the script
    options: Options = field(default_factory=Options)
    kind: str = "download"


Step = Union[Shell, Download]


@dataclass(frozen=True)
class Script:
    steps: tuple[Step, ...]


def script_read(text: str) -> Script:
    """The script that this YAML describes. Raises ScriptError with line and column at the first thing wrong."""
    root = document(text)
    if root is None:
        raise ScriptError("the script is empty; it needs “steps:” with a list of steps")
    top = pairs(root, "a script")
    for name, (key, _) in top.items():
        if name != "steps":
            raise error_at(key, f"“{name[:40]}” is not understood here; a script has only “steps”")
    if "steps" not in top:
        raise error_at(root, "a script needs “steps:” with a list of steps")
    nodes = items(top["steps"][1], "“steps”")
    if not nodes:
        raise error_at(top["steps"][1], "there are no steps")
    if len(nodes) > STEP_LIMIT:
        raise error_at(nodes[STEP_LIMIT], f"a script has at most {STEP_LIMIT} steps")
    return Script(tuple(_step(position, node) for position, node in enumerate(nodes)))


def _step(position: int, node: yaml.Node) -> Step:
    found = pairs(node, "a step")
    kinds = [name for name in found if name in KINDS]
    if len(kinds) != 1:
        raise error_at(node, _no_kind(found, kinds))
    kind = kinds[0]
    beside = is_null(found[kind][1]) and kind != "shell"  # `download:` with its fields not indented, as some write it
    fields = DOWNLOAD_FIELDS if beside else ()
    allowed = (*KINDS, *OPTIONS, *(("script",) if kind == "shell" else fields))
    for name, (key, _) in found.items():
        if name not in allowed:
            raise error_at(key, f"“{name[:40]}” is not understood in a {kind} step; there are {', '.join(allowed[3:])}")
    options = _options(found)
    if kind == "shell":
        return _shell(position, node, found, options)
    body = {name: value for name, value in found.items() if name in DOWNLOAD_FIELDS} if beside else None
    return _download(position, kind, found[kind][1], body, options)


def _no_kind(found: Nodes, kinds: list[str]) -> str:
    if kinds:
        return f"a step is one thing, this one is {' and '.join(kinds)}; begin a new step with “- ”"
    names = ", ".join(f"“{name[:40]}”" for name in found) or "nothing"
    return f"unknown step {names}; a step is one of {', '.join(KINDS)}"


def _shell(position: int, node: yaml.Node, found: Nodes, options: Options) -> Shell:
    value = found["shell"][1]
    text = text_of(value, "“shell”")
    if not text.strip():
        raise error_at(value, "“shell” needs a command")
    script = flag_of(found["script"][1], "“script”") if "script" in found else False
    return Shell(position, node.start_mark.line + 1, text, script, options)


def _download(position: int, kind: str, value: yaml.Node, body: Nodes | None, options: Options) -> Download:
    found = pairs(value, f"“{kind}”") if body is None else body
    for name, (key, _) in found.items():
        if name not in DOWNLOAD_FIELDS:
            raise error_at(key, f"“{name[:40]}” is not understood in {kind}; there are {', '.join(DOWNLOAD_FIELDS)}")
    for name in ("url", "dest"):
        if name not in found:
            raise error_at(value, f"“{kind}” needs “{name}”")
    return Download(
        position,
        value.start_mark.line + 1,
        _url(kind, found["url"][1]),
        text_of(found["dest"][1], "“dest”"),
        flag_of(found["cache"][1], "“cache”") if "cache" in found else False,
        _sha256(found["sha256"][1]) if "sha256" in found else "",
        options,
        kind,
    )


def _url(kind: str, node: yaml.Node) -> str:
    url = text_of(node, "“url”")
    pattern, form = (_WEB, "https://host/path") if kind == "download" else (_S3, "s3://bucket/key")
    if not pattern.fullmatch(url) or len(url) > URL_LIMIT:
        raise error_at(node, f"“url” of {kind} is {form}, at most {URL_LIMIT} characters")
    return url


def _sha256(node: yaml.Node) -> str:
    digest = text_of(node, "“sha256”")
    if not _SHA256.fullmatch(digest):
        raise error_at(node, "“sha256” is 64 hexadecimal digits")
    return digest.lower()


def _options(found: Nodes) -> Options:
    given: dict[str, Any] = {}
    readers = {
        "env": _env,
        "cwd": lambda node: text_of(node, "“cwd”"),
        "timeout": lambda node: number_of(node, "“timeout” (seconds)", 1, LONGEST_TIMEOUT, whole=False),
        "retries": lambda node: int(number_of(node, "“retries”", 0, MOST_RETRIES, whole=True)),
        "continue_on_error": lambda node: flag_of(node, "“continue_on_error”"),
        "when": _when,
    }
    for name, read in readers.items():
        if name in found:
            given[name] = read(found[name][1])
    return Options(**given)


def _env(node: yaml.Node) -> dict[str, str]:
    variables: dict[str, str] = {}
    for name, (key, value) in pairs(node, "“env”").items():
        if not _NAME.fullmatch(name):
            raise error_at(key, f"“{name[:40]}” is no name of a variable (letters, digits and _)")
        variables[name] = "" if is_null(value) else text_of(value, f"“env” {name}")
    return variables


def _when(node: yaml.Node) -> Any:
    rule = plain(node)
    try:
        condition_checked(rule)
    except ConditionError as error:
        raise error_at(part(node, error.path), f"“when”: {error.message}") from None
    return rule
