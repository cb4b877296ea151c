"""The text in which people keep environment variables, as values by name.

Understood are `KEY=VALUE` with `export`, quotes, comments and commas at the ends of lines, values of several lines
(JSON, a private key), and a system's JSON whose `docker.environment` has the variables.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from apps.access.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"""[ \t]*(?:-[ \t]+)?(?:export[ \t]+)?(["']?)([A-Za-z_][A-Za-z0-9_]*)\1[ \t]*[=:][ \t]*""")
_STRING = r'"(?:[^"\\]|\\.)*"'
_OPENING, _CLOSING = "{[", "}]"
_KEY_END = re.compile(r"-----END [A-Z ]+-----")
SYSTEM_ID = "_id"  # of the system whose environment it was


def env_read(text: str, file: str) -> dict[str, Any]:
    """Values by name: text, or what JSON says. Raises InputError with the line of what cannot be understood.

    A system's own id comes as `_id`.
    """
    text = text.lstrip("\ufeff")
    if "\0" in text:
        raise InputError("is not a text file: it has NUL bytes.", file)
    if text.lstrip().startswith("{"):
        return _of_system(json_lenient(text, file))
    return _Lines(text, file).read()


def json_lenient(text: str, file: str) -> Any:
    """JSON as people write it: a comma too many or too few at the end of a line is forgiven. Raises InputError."""
    parts = re.split(f"({_STRING})", text)
    for index in range(0, len(parts), 2):  # those between the strings
        parts[index] = re.sub(r",(\s*[}\]])", r"\1", parts[index])
        if 0 < index < len(parts) - 1 and parts[index].isspace() and "\n" in parts[index]:
            parts[index] = f",{parts[index]}"
        parts[index] = re.sub(r"([}\]]|\b(?:true|false|null|\d+))(\s*\n\s*)\Z", r"\1,\2", parts[index])
    mended = re.sub(r",(\s*)\Z", r"\1", "".join(parts))
    try:
        return json.loads(mended, strict=False)
    except json.JSONDecodeError as error:
        raise InputError(f"{file}:{error.lineno}: this is not JSON: {error.msg}.") from None
    except RecursionError:
        raise InputError(f"{file}: this is not JSON: nested too deep.") from None


def _of_system(value: Any) -> dict[str, Any]:
    """The variables of a system, of its `docker`, or those given alone."""
    found: Mapping[str, Any] = value
    for key in ("docker", "environment"):
        inner = found.get(key)
        if isinstance(inner, dict):
            found = inner
    own = {SYSTEM_ID: value["_id"]} if isinstance(value.get("_id"), str) and found is not value else {}
    return own | dict(found)


class _Lines:
    """Reads variables from the top of the text to its end."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.file = file
        self.at = 0

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.at < len(self.text):
            line = self._rest_of_line()
            if not line.strip(" \t,;") or line.lstrip().startswith("#"):
                self._next_line()
                continue
            named = _NAME.match(self.text, self.at)
            if named is None:
                raise InputError(f"{self._place()}: NAME=VALUE is needed here.")
            self.at = named.end()
            found[named[2]] = self._value()
        return found

    def _value(self) -> Any:
        start = self.text[self.at : self.at + 1]
        if start and start in _OPENING:
            return self._json()
        if start and start in "\"'":
            return self._quoted(start)
        if self.text.startswith("-----BEGIN ", self.at):
            return self._key()
        value = re.sub(r"\s+#.*\Z", "", self._rest_of_line()).strip().rstrip(",").rstrip()
        self._next_line()
        return value

    def _json(self) -> Any:
        begin, place = self.at, self._place()
        depth = 0
        for found in re.finditer(rf"{_STRING}|[{{}}\[\]]", self.text[begin:]):
            depth += (found[0] in _OPENING) - (found[0] in _CLOSING)
            if depth == 0:
                self.at = begin + found.end()
                value = json_lenient(self.text[begin : self.at], place)
                self._end()
                return value
        raise InputError(f"{place}: the bracket that opens here is never closed.")

    def _quoted(self, quote: str) -> str:
        place = self._place()
        inner = r"(?:[^\"\\]|\\.)*" if quote == '"' else "[^']*"
        found = re.compile(f"{quote}({inner}){quote}", re.DOTALL).match(self.text, self.at)
        if found is None:
            raise InputError(f"{place}: the quote that opens here is never closed.")
        self.at = found.end()
        self._end()
        return re.sub(r"\\(.)", _unescaped, found[1], flags=re.DOTALL) if quote == '"' else found[1]

    def _key(self) -> str:
        found = _KEY_END.search(self.text, self.at)
        if found is None:
            raise InputError(f"{self._place()}: the private key that begins here has no end.")
        value = self.text[self.at : found.end()]
        self.at = found.end()
        self._end()
        return value.replace("\\n", "\n")

    def _end(self) -> None:
        """After a value that has an end of its own: nothing but a comma or a comment."""
        rest = self._rest_of_line().strip()
        if rest.strip(",;}") and not rest.lstrip(",; ").startswith("#"):
            raise InputError(f"{self._place()}: this follows a value that has ended: {rest[:40]!r}.")
        self._next_line()

    def _rest_of_line(self) -> str:
        return self.text[self.at :].partition("\n")[0]

    def _next_line(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end + 1

    def _place(self) -> str:
        return f"{self.file}:{self.text.count(chr(10), 0, self.at) + 1}"


def _unescaped(found: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "$": "$", "`": "`", "\n": ""}.get(found[1], found[0])
