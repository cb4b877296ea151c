"""YAML read as nodes that know their line and column, bounded before anything is built from it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEPTH_LIMIT = 40
NODE_LIMIT = 20_000
SIZE_LIMIT = 256 * 1024  # characters
_WHOLE = re.compile(r"[-+]?[0-9]{1,15}", re.ASCII)
_DECIMAL = re.compile(r"[-+]?[0-9]{1,15}\.[0-9]{1,15}", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NULLS = ("", "~", "null", "Null", "NULL")


class ScriptError(ValueError):
    """A build script is not understood. `line` and `column` count from 1. `str` is “line 3, column 5: …”."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.message = message
        self.line = line
        self.column = column


def error_at(node: yaml.Node | yaml.Event, message: str) -> ScriptError:
    mark = node.start_mark
    assert mark is not None
    return ScriptError(message, mark.line + 1, mark.column + 1)


def document(text: str) -> yaml.Node | None:
    """The one document of this text; None when it is empty. Raises ScriptError."""
    if len(text) > SIZE_LIMIT:
        raise ScriptError(f"the script is longer than {SIZE_LIMIT // 1024} KiB")
    try:
        _bound(text)
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except ScriptError:
        raise
    except yaml.MarkedYAMLError as error:
        raise _told(error) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        raise ScriptError("a character that YAML does not allow", line, column) from None
    except (yaml.YAMLError, ValueError, OverflowError):
        raise ScriptError("this is not YAML: an escape names no character") from None
    return node


def _bound(text: str) -> None:
    """Nesting and size, event by event, so that building the nodes can neither recurse too deep nor go on for ever."""
    depth = documents = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_LIMIT or count > NODE_LIMIT:
            raise error_at(event, "the script is nested too deep or has too many parts")
        if documents > 1:
            raise error_at(event, "a second document begins here; a script is one document")
        if isinstance(event, yaml.AliasEvent):
            raise error_at(event, "aliases (*name) are not understood in a script; write it out")
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) is not None:
            raise error_at(event, "tags (!name) are not understood in a script")
        if isinstance(event, yaml.ScalarEvent) and _SURROGATE.search(event.value):
            raise error_at(event, "an escape names half a character (\\ud800 to \\udfff)")


def _told(error: yaml.MarkedYAMLError) -> ScriptError:
    mark = error.problem_mark or error.context_mark
    words = " ".join(part for part in (error.context, error.problem) if part)
    return ScriptError(f"this is not YAML: {words}", (mark.line if mark else 0) + 1, (mark.column if mark else 0) + 1)


def pairs(node: yaml.Node, what: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """A mapping's entries: name → (key's node, value's node). Raises ScriptError unless it is one, each name once."""
    if not isinstance(node, yaml.MappingNode):
        raise error_at(node, f"{what} must be a mapping (name: value)")
    found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise error_at(key, f"{what}: a name must be a plain text")
        if key.value in found:
            raise error_at(key, f"{what}: “{key.value[:40]}” is there twice")
        found[key.value] = (key, value)
    return found


def items(node: yaml.Node, what: str) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode):
        raise error_at(node, f"{what} must be a list (lines that begin with “- ”)")
    return list(node.value)


def is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULLS


def text_of(node: yaml.Node, what: str) -> str:
    """A text as it is written: `1`, `yes` and `0755` too are texts where a text is asked for."""
    if not isinstance(node, yaml.ScalarNode) or is_null(node):
        raise error_at(node, f"{what} must be a text")
    if "\0" in node.value:
        raise error_at(node, f"{what} holds a NUL character, which no program can take")
    return str(node.value)


def flag_of(node: yaml.Node, what: str) -> bool:
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:bool":
        return node.value.lower() in ("true", "yes", "on")
    raise error_at(node, f"{what} must be true or false")


def number_of(node: yaml.Node, what: str, lowest: float, highest: float, whole: bool) -> float:
    pattern = _WHOLE if whole else re.compile(f"{_WHOLE.pattern}|{_DECIMAL.pattern}", re.ASCII)
    if isinstance(node, yaml.ScalarNode) and pattern.fullmatch(node.value):
        value = float(node.value)
        if lowest <= value <= highest:
            return value
    kind = "a whole number" if whole else "a number"
    raise error_at(node, f"{what} must be {kind} from {lowest:g} to {highest:g}")


def plain(node: yaml.Node) -> Any:
    """The node as JSON-like data: for values that are compared. Times and odd numbers stay texts."""
    if isinstance(node, yaml.MappingNode):
        return {name: plain(value) for name, (_, value) in pairs(node, "this").items()}
    if isinstance(node, yaml.SequenceNode):
        return [plain(item) for item in node.value]
    assert isinstance(node, yaml.ScalarNode)
    return _scalar(node)


def _scalar(node: yaml.ScalarNode) -> Any:
    if is_null(node):
        return None
    if node.tag == "tag:yaml.org,2002:bool":
        return node.value.lower() in ("true", "yes", "on")
    if node.tag == "tag:yaml.org,2002:int" and _WHOLE.fullmatch(node.value):
        return int(node.value)
    if node.tag == "tag:yaml.org,2002:float" and _DECIMAL.fullmatch(node.value):
        return float(node.value)
    return node.value


def part(node: yaml.Node, path: Sequence[Any]) -> yaml.Node:
    """The part that a path of names and indexes leads to, or as near as it goes."""
    for step in path:
        below = next((child for name, child in _below(node) if name == step), None)
        if below is None:
            return node
        node = below
    return node


def _below(node: yaml.Node) -> Iterator[tuple[Any, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        return iter([(key.value, value) for key, value in node.value])
    if isinstance(node, yaml.SequenceNode):
        return iter(enumerate(node.value))
    return iter(())
