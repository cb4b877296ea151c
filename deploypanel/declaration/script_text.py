"""Build scripts: in a file that is named, or several lines in the declaration itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.access.errors import InputError
from apps.environments.build_script import script_checked
from deploypanel.declaration.fields import Text, file_text

if TYPE_CHECKING:
    from django.db import models

    from deploypanel.declaration.document import Value
    from deploypanel.declaration.fields import Names


class ScriptText(Text):
    """The name of a file; a text of several lines is the script itself, which is how a dump has it."""

    def parse(self, value: Value, model: type[models.Model], names: Names) -> str | None:
        return script_read(value, names)

    def differs(self, instance: models.Model, wanted: Any) -> bool:
        return self.current(instance).strip() != (wanted or "").strip()

    def show(self, plain: Any) -> str:
        return f"{len(plain.strip().splitlines())} lines" if plain and plain.strip() else "nothing"

    def write(self, instance: models.Model) -> Any:
        return script_written(self.current(instance))


def script_read(value: Value, names: Names) -> str | None:
    """The script's text; what is wrong in it is told with its own line and column."""
    given = value.text(names.problems)
    if given is None:
        return None
    inline = "\n" in given
    text = given if inline else file_text(given, value, names)
    if text is None:
        return None
    try:
        script_checked(text)
    except InputError as error:
        names.problems.add(value, f"in the script, {error}" if inline else f"{given}: {error}")
    return text


def script_written(text: str) -> str:
    """As `script_read` takes it for the script and not for the name of one."""
    return f"{text.strip()}\n" if text.strip() else ""
