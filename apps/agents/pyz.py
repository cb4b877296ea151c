"""The agent's program as one file: its package, PyYAML and websocket-client, all in plain Python.

Built from what is installed here, so an agent of this panel's version comes out, the same bytes each time.
"""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from apps.access.errors import PanelError

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_NAME = "deploypanel-agent.pyz"
PACKAGES = ("deploypanel_agent", "websocket", "yaml")
DISTRIBUTIONS = ("PyYAML", "websocket-client")  # whose licences go with it
SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = b"""import sys

if sys.version_info < (3, 9):
    sys.exit("deploypanel-agent needs Python 3.9 or newer; this is %d.%d." % sys.version_info[:2])

from deploypanel_agent.cli import main

sys.exit(main())
"""
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the oldest time that a ZIP can tell: no time of building in the file


@lru_cache(maxsize=1)
def agent_pyz() -> bytes:
    """The whole file, to be saved and run with Python 3.9 or newer. Raises PanelError when a part is missing here."""
    target = io.BytesIO()
    target.write(SHEBANG)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in sorted(_parts()):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return target.getvalue()


def _parts() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", MAIN
    for package in PACKAGES:
        root = _folder(package)
        for path in root.rglob("*.py"):
            inside = path.relative_to(root)
            if inside.parts[0] != "tests" and inside.name != "_wsdump.py":
                yield f"{package}/{inside.as_posix()}", path.read_bytes()
    for name in DISTRIBUTIONS:
        for part in distribution(name).files or ():
            if part.name.startswith("LICENSE"):
                yield f"licenses/{name}", Path(str(part.locate())).read_bytes()


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise PanelError(f"The agent's program cannot be built: the package {package} is not installed here.")
    return Path(spec.origin).parent
