"""The database as a declaration that, applied to the same installation, changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from deploypanel.declaration.fields import KEPT
from deploypanel.declaration.sections import SECTIONS

if TYPE_CHECKING:
    from django.db import models

    from deploypanel.declaration.sections import Section

HEAD = f"""\
# A declaration of this installation: `manage.py apply FILE.yaml` makes a database match it.
# {KEPT} leaves a secret as it is. For another installation put the secret itself in its place,
# or name a file: `private_key_file: /path`, `password_file: /path`, `webhook_secret_file: /path`.
"""


def declaration_dump() -> str:
    """All sections that have something, in a stable order. Empty fields are left out, secrets are references."""
    sections = {section.name: _entries(section) for section in SECTIONS}
    blocks = [_yaml({name: entries}) for name, entries in sections.items() if entries]
    return "\n".join([HEAD, *blocks]) if blocks else f"{HEAD}\n{{}}\n"


def _entries(section: Section) -> list[dict[str, Any]] | dict[str, Any]:
    instances = sorted(section.existing().items())
    entries = [_entry(section, instance) for _, instance in instances]
    return entries[0] if section.single and entries else entries


def _entry(section: Section, instance: models.Model) -> dict[str, Any]:
    written = ((one, one.write(instance)) for one in section.fields)
    return {one.key: value for one, value in written if one.spoken or value not in (None, "", [], {})}


class _Dumper(yaml.SafeDumper):
    """Indents lists, and writes short lists of plain words in one line."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    return dumper.represent_sequence(
        "tag:yaml.org,2002:seq", data, flow_style=all(isinstance(item, str) for item in data)
    )


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(list, _list)
_Dumper.add_representer(str, _text)


def _yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
