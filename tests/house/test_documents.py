"""What the documents say is so: settings, commands, links, versions."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from apps.access.command import PanelCommand

ROOT = Path(__file__).resolve().parent.parent.parent
SETTING = re.compile(r"DEPLOYPANEL_[A-Z][A-Z_]*[A-Z]")
# Set by the panel for its own processes, or by the tests; an operator never does.
INTERNAL = {
    "DEPLOYPANEL_ROLE": "told to each process by the supervisor",
    "DEPLOYPANEL_PANEL": "marks the processes of one data folder",
    "DEPLOYPANEL_RUN": "marks the processes of one run",
    "DEPLOYPANEL_TEST_POSTGRES": "tells a test run that it is on PostgreSQL",
    "DEPLOYPANEL_TRIGGER": "tells a build script which trigger was fired",
    "DEPLOYPANEL_COUNT": "tells a build script which firing of the trigger it is",
    "DEPLOYPANEL_PAYLOAD": "tells a build script where the firing's payload lies",
    "DEPLOYPANEL_SECRET_FILE": "where the post-receive hook looks for its secret, on the Git server",
}

# Started by the panel, never typed; their help says so.
INTERNAL_COMMANDS = {"run_work", "repos_poll"}


def settings_read() -> set[str]:
    """Every setting that the code, the scripts or the templates name."""
    found: set[str] = set()
    for folder, pattern in (("deploypanel", "*.py"), ("apps", "*.py"), ("scripts", "*")):
        for path in (ROOT / folder).rglob(pattern):
            if path.is_file() and "__pycache__" not in path.parts:
                found |= set(SETTING.findall(path.read_text(encoding="utf-8")))
    return {name.removesuffix("_FILE") for name in found} - {name.removesuffix("_FILE") for name in INTERNAL}


def settings_documented() -> set[str]:
    """The first column of the table of settings."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(DEPLOYPANEL_[A-Z_]+)`", text, re.M))


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    assert settings_documented() == settings_read()


def commands() -> list[str]:
    return sorted(name for name, app in get_commands().items() if app.startswith(("apps.", "deploypanel")))


@pytest.mark.parametrize("name", commands())
def test_every_command_is_documented(name: str) -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    if name not in INTERNAL_COMMANDS:
        assert f"manage.py {name}" in text, f"docs/commands.md does not name {name}"


@pytest.mark.parametrize("name", commands())
def test_every_command_helps_with_an_example(name: str) -> None:
    command = load_command_class(get_commands()[name], name)
    text = command.create_parser("manage.py", name).format_help()
    assert command.help
    if name not in INTERNAL_COMMANDS:
        assert isinstance(command, PanelCommand)
        assert "examples:" in text
        assert f"manage.py {name}" in text


def documents() -> list[Path]:
    return [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def links() -> Iterator[tuple[Path, str]]:
    for path in documents():
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                yield path, target


def test_every_link_leads_somewhere() -> None:
    broken = [f"{path.name} → {target}" for path, target in links() if not (path.parent / target).exists()]
    assert broken == []


def test_the_changelogs_top_entry_is_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    entries = re.findall(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert entries[0] == version


def test_the_words_of_the_makefile_are_in_the_readme_or_contributing() -> None:
    words = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    assert [word for word in words if f"make {word}" not in text] == []
