"""YAML with the place of every value, and a list of everything that is wrong with it."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from apps.access.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TAG = "tag:yaml.org,2002:"
_WORDS = {"str": "text", "int": "a number", "float": "a number", "bool": "true or false", "null": "nothing"}
_MERGE_DEPTH = 3  # `<<` in `<<` in …: nobody writes more, and a file that refers to itself must end


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong. Lines and columns count from 1; 0 means that the whole file is meant."""

    line: int
    column: int
    path: str
    message: str

    def as_line(self, file: str) -> str:
        where = f"{file}:{self.line}:{self.column}" if self.line else file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


@dataclass
class Problems:
    """What is wrong so far. Reading goes on after each, so that a person sees them all at once."""

    found: set[Problem] = field(default_factory=set)

    def add(self, value: Value, message: str) -> None:
        self.found.add(Problem(value.line, value.column, value.path, message))

    def __bool__(self) -> bool:
        return bool(self.found)


class DeclarationError(InputError):
    """The file is refused as a whole. `problems` has every reason, in the order of the file."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = sorted(problems)
        super().__init__("\n".join(problem.as_line(file) for problem in self.problems))


@dataclass(frozen=True)
class Value:
    """One value of the document: where it stands, and what it says once it is asked for a type.

    Text is taken as written: YAML's own ideas of `NO` (false) and `12:00` (720) surprise everybody.
    """

    node: yaml.Node
    path: str

    @property
    def line(self) -> int:
        return int(self.node.start_mark.line) + 1

    @property
    def column(self) -> int:
        return int(self.node.start_mark.column) + 1

    @property
    def kind(self) -> str:
        """`text`, `a number`, `true or false`, `nothing`, `a list`, `a mapping`: for sentences."""
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        if isinstance(self.node, yaml.SequenceNode):
            return "a list"
        return _WORDS.get(self.node.tag.removeprefix(_TAG), "text")

    @property
    def is_nothing(self) -> bool:
        return self.kind == "nothing"

    def wrong(self, wanted: str, problems: Problems) -> None:
        said = f"{self.kind} ({shorten(self.node.value)})" if isinstance(self.node, yaml.ScalarNode) else self.kind
        problems.add(self, f"{wanted} is needed here, not {'nothing' if self.is_nothing else said}")

    def text(self, problems: Problems) -> str | None:
        if not isinstance(self.node, yaml.ScalarNode) or self.is_nothing:
            self.wrong("text", problems)
            return None
        try:
            # JSON writes characters beyond the first plane as two halves, which YAML leaves apart.
            text = str(self.node.value).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            problems.add(self, "text cannot hold the character NUL, nor half a character")
            return None
        return text

    def integer(self, problems: Problems) -> int | None:
        # int() would take YAML's 0o17, 1_000 and 12:00 for something else than the reader sees.
        if self.kind == "a number" and re.fullmatch(r"-?[0-9]{1,18}", self.node.value):
            return int(self.node.value)
        self.wrong("a whole number", problems)
        return None

    def boolean(self, problems: Problems) -> bool | None:
        if self.kind == "true or false":
            return str(self.node.value).lower() in {"true", "yes", "on"}
        self.wrong("true or false", problems)
        return None

    def elements(self, problems: Problems) -> list[Value]:
        if isinstance(self.node, yaml.SequenceNode):
            return [Value(node, f"{self.path}[{index}]") for index, node in enumerate(self.node.value)]
        self.wrong("a list", problems)
        return []

    def items(self, problems: Problems) -> dict[str, Value]:
        """The mapping's values by key, those of `<<` included; a key given twice is a problem."""
        if not isinstance(self.node, yaml.MappingNode):
            self.wrong("a mapping", problems)
            return {}
        merged: dict[str, Value] = {}
        own: dict[str, Value] = {}
        for key_node, node in self.node.value:
            if key_node.tag == f"{_TAG}merge":
                merged |= {key: Value(item, self._below(key)) for key, item in _merged(node, _MERGE_DEPTH)}
                continue
            key = Value(key_node, self.path).text(Problems()) or ""
            value = Value(node, self._below(key))
            if not key:
                problems.add(Value(key_node, self.path), "a key must be plain text")
            elif key in own:
                problems.add(Value(key_node, value.path), f"is given twice (first on line {own[key].line})")
            else:
                own[key] = value
        return merged | own

    def _below(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def _merged(node: yaml.Node, depth: int) -> Iterator[tuple[str, yaml.Node]]:
    """What a `<<` stands for; the first of several wins, so they come last to first."""
    if depth and isinstance(node, yaml.SequenceNode):
        for element in reversed(node.value):
            yield from _merged(element, depth - 1)
    elif depth and isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                yield from _merged(value, depth - 1)
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != f"{_TAG}merge":
                yield key.value, value


def parse(data: bytes, file: str) -> Value:
    """The document in `data`; raises DeclarationError where it is no YAML, with the place."""
    try:
        node = yaml.compose(data.decode("utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DeclarationError(file, [Problem(line, 1, "", "the file is not UTF-8 text")]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise DeclarationError(file, [Problem(line, column, "", f"this is not YAML: {said}")]) from None
    except RecursionError:
        raise DeclarationError(file, [Problem(0, 0, "", "lists and mappings are nested too deep")]) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        said = " ".join(str(error).split())
        raise DeclarationError(file, [Problem(0, 0, "", f"this is not YAML: {said}")]) from None
    if node is None:
        raise DeclarationError(file, [Problem(0, 0, "", "the file is empty")])
    return Value(node, "")


def closest(name: str, known: Iterable[str]) -> str:
    """“; did you mean X?” or, where nothing is near, nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def shorten(text: str, limit: int = 40) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= limit else f"{text[: limit - 1]}…")
