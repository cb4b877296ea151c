"""Work with environment variables: which were understood, what became of them, and what a person must still do."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import yaml

from apps.access.errors import InputError
from apps.sesam.env_text import SYSTEM_ID, json_lenient

if TYPE_CHECKING:
    from collections.abc import Mapping

SECTIONS = ("ssh_keys", "repositories", "secret_stores", "nodes", "extra_nodes")
_OPEN = re.compile(r"\$(?:ENV|SECRET)\(|\A\*+\Z|\A<[^<>]*>\Z")
_SILENT = ("PYTHONUNBUFFERED", "LOG_LEVEL")


@dataclass
class Imported:
    """The sections of a declaration, and what a person must know or do before applying it."""

    sections: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in SECTIONS})
    notes: list[str] = field(default_factory=list)

    def as_yaml(self) -> str:
        """The declaration, with the notes as comments before it."""
        head = ["# Sesam nodes, taken over from environment variables: for `manage.py apply`.", *_commented(self.notes)]
        filled = {name: entries for name, entries in self.sections.items() if entries}
        blocks = [yaml.safe_dump({name: entries}, **_STYLE) for name, entries in filled.items()]
        return "\n".join(["\n".join(head) + "\n", *blocks])


_STYLE: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 110}


class Work:
    """The variables, which of them were understood, and what has become of them."""

    def __init__(self, values: Mapping[str, Any], file: str, with_secrets: bool) -> None:
        self.values = dict(values)
        self.file = file
        self.with_secrets = with_secrets
        self.used = {SYSTEM_ID, *_SILENT}
        self.out = Imported()

    def has(self, *names: str) -> bool:
        return any(name in self.values for name in names)

    def take(self, name: str, default: Any = "") -> Any:
        self.used.add(name)
        value = self.values.get(name, default)
        return value.strip() if isinstance(value, str) else value

    def text(self, name: str, default: str = "") -> str:
        """The value, when it says something itself; else the default, and a note of what is to be filled in."""
        return self.plain(name, self.take(name), default)

    def plain(self, what: str, value: Any, default: str = "") -> str:
        said = self._said(what, value)
        if said and _OPEN.search(said):
            self.note(f"{what} is {said}: fill in what that stands for.")
            return default
        if "<" in said:
            self.note(f"{what} is {said}: fill in the words in angle brackets.")
        return re.sub(r"[<>]", "", said) or default

    def _said(self, what: str, value: Any) -> str:
        if isinstance(value, dict | list):
            raise InputError(f"{what} must be one value, not {'an object' if isinstance(value, dict) else 'a list'}.")
        said = "" if value is None else str(value).strip()
        if "\0" in said:
            raise InputError(f"{what} has a NUL byte.")
        return said

    def flag(self, name: str) -> bool:
        return is_true(self.take(name))

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.take(name, {})
        if isinstance(value, str):
            value = json_lenient(value.replace("`", ""), f"{self.file}: {name}") if value else {}
        if not isinstance(value, dict):
            raise InputError(f"{name} must be a JSON object.", self.file)
        return value

    def secret(self, key: str, file: str, value: Any, what: str) -> dict[str, str]:
        """`{key: value}` where it is known and may be shown, else the name of a file to put it into."""
        said = self._said(what, value)
        is_open = not said or bool(_OPEN.search(said))
        if self.with_secrets and not is_open:
            return {key: said if "\n" not in said else f"{said}\n"}
        why = f" ({what} is {said})" if said and is_open else ""
        self.note(f"put {what} into the file {file}, beside this one{why}.")
        return {f"{key}_file": file}

    def note(self, text: str) -> None:
        if text not in self.out.notes:
            self.out.notes.append(text)

    def add(self, section: str, **entry: Any) -> None:
        known = self.out.sections[section]
        if entry not in known:
            known.append(entry)

    def finish(self) -> None:
        """Nothing is dropped silently."""
        for name in self.values:
            if name not in self.used:
                self.note(f"{name} is not known to the panel and was left out.")


def is_true(value: Any) -> bool:
    return str(value).strip().lower() == "true"


def name_of(text: str) -> str:
    """Letters, digits, dots, hyphens and underscores, as names of the panel are."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "fill-in"


def address(url: str) -> SplitResult:
    """Its parts. Raises InputError for what cannot be an address."""
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname  # they are read, and refused, only when asked for
    except ValueError:
        raise InputError(f"{url[:200]!r} cannot be an address.") from None
    return parts


def https_url(url: str) -> str:
    """The same repository by HTTPS: from `git@host:path`, `ssh://…`, or a host's name without a scheme.

    Raises InputError for what cannot be an address.
    """
    scp = re.fullmatch(r"(?:[\w.-]+@)?([\w.-]+):(?!//)(.+)", url)
    if scp:
        return f"https://{scp[1]}/{scp[2].lstrip('/')}"
    parts = address(url if "://" in url else f"https://{url}")
    port = f":{parts.port}" if parts.scheme == "https" and parts.port else ""
    return f"https://{parts.hostname}{port}{parts.path}"


def _commented(notes: list[str]) -> list[str]:
    return ["#", "# To be done or known first:", *(f"#   - {note}" for note in notes)] if notes else []
