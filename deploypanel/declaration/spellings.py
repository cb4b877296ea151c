"""Values that a file may spell in more than one way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploypanel.declaration.fields import Integer, Text, Texts, file_text

if TYPE_CHECKING:
    from django.db import models

    from deploypanel.declaration.document import Value
    from deploypanel.declaration.fields import Names


@dataclass(frozen=True, kw_only=True)
class TextByAnyName(Text):
    """Text that goes by a second key too: `sync_root`, which those with a multi-node repository call `root`."""

    alias: str

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key, self.alias)

    def read(self, values: dict[str, Value], model: type[models.Model], names: Names) -> Any:
        both = [values[key] for key in self.keys if key in values]
        if len(both) > 1:
            names.problems.add(both[1], f"give {self.key} or {self.alias}, not both")
        return super().read({self.key: both[0]}, model, names)


class LongText(Text):
    """Text of several lines, as it is or by a file's name in `KEY_file`. It is not secret."""

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key, f"{self.key}_file")

    def read(self, values: dict[str, Value], model: type[models.Model], names: Names) -> Any:
        own, filed = (values.get(key) for key in self.keys)
        if own and filed:
            names.problems.add(filed, f"give {self.key} or {self.key}_file, not both")
        if own or filed is None or filed.is_nothing:
            return super().read({self.key: own or filed}, model, names)  # type: ignore[dict-item]  # one of them is
        name = filed.text(names.problems)
        return None if name is None else file_text(name, filed, names)

    def differs(self, instance: models.Model, wanted: Any) -> bool:
        return self.current(instance).strip() != (wanted or "").strip()

    def show(self, plain: Any) -> str:
        return f"{len(plain.splitlines())} lines" if plain else "nothing"


class OneOrMore(Texts):
    """A list of texts; one alone needs no brackets."""

    def parse(self, value: Value, model: type[models.Model], names: Names) -> list[str]:
        if value.kind in {"a list", "a mapping"}:
            return super().parse(value, model, names)
        text = value.text(names.problems)
        return [] if text is None else [text]


class NumberOrNothing(Integer):
    """A whole number, or `null`, which means something else than its default."""

    def default(self, model: type[models.Model], value: Value, names: Names) -> None:
        """Nothing is nothing, not the model's default."""
