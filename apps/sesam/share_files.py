"""An extra node's share as the files of its own repository. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from apps.access.errors import InputError
from apps.sesam.json_text import pretty

if TYPE_CHECKING:
    from apps.sesam.expansion import Share

METADATA = "node-metadata.conf.json"
_FOLDERS = {"pipe": "pipes", "system": "systems"}
# What can be one name in a folder on every system.
_NAME = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9_:.@+-]{0,199}\Z")

_VARIABLES = re.compile(r"\Avariables/variables-[^/]+\.json\Z")


def share_files(share: Share, environment: str) -> dict[str, bytes]:
    """Contents by path below the folder `node/`. Raises InputError for an id that can be no file's name."""
    files = {}
    for name, entity in share.entities.items():
        if entity.kind == "metadata":
            files[METADATA] = _text(entity.value)
            continue
        if not _NAME.match(name):
            raise InputError(f"The id {name!r} cannot be the name of a file in the extra node's repository.")
        files[f"{_FOLDERS[entity.kind]}/{name}.conf.json"] = _text(entity.value)
    files[f"variables/variables-{environment}.json"] = _text(dict(share.variables))
    return files


def is_for_another_environment(path: str) -> bool:
    """Whether the file, which is not of the share, has the variables of a master of another environment.

    One repository may hold the shares of test and prod.
    """
    return _VARIABLES.match(path) is not None


def _text(value: object) -> bytes:
    return f"{pretty(value)}\n".encode()
