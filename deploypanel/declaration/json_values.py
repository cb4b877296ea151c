"""What lies in a file where JSON is meant, as in the rules of triggers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from deploypanel.declaration.document import Problems, Value

DEEPEST = 40  # an anchor may lie within itself
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")


def json_value(value: Value, problems: Problems, depth: int = 0) -> Any:
    """The value as JSON would have it. What only YAML takes for a number or a truth (`NO`, `12:00`) is text."""
    if depth > DEEPEST:
        problems.add(value, "lists and mappings are nested too deep")
        return None
    if isinstance(value.node, yaml.MappingNode):
        return {key: json_value(item, problems, depth + 1) for key, item in value.items(problems).items()}
    if isinstance(value.node, yaml.SequenceNode):
        return [json_value(item, problems, depth + 1) for item in value.elements(problems)]
    if value.is_nothing:
        return None
    text = str(value.node.value)
    if value.kind == "true or false" and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if value.kind == "a number" and _WHOLE.fullmatch(text):
        return int(text)
    if value.kind == "a number" and _DECIMAL.fullmatch(text):
        return float(text)
    return value.text(problems)
