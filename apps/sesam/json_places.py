"""Where in a JSON text something stands that Python's own parser lets pass. Looked at only when there is a fault."""

from __future__ import annotations

import json
import math
import re
from itertools import islice

from apps.sesam.words import shown

DEEPEST = 250  # levels; nobody means more, and everything that walks a value may rely on it
_LONGEST_NUMBER = 4300  # digits: Python converts no more
_MOST_TOKENS = 2_000_000  # a few seconds
# A text without end is one word: what comes after the fault need not be sound.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\]]|-?Infinity|NaN|-?\d[\d.eE+-]*', re.DOTALL)
_COLON = re.compile(r"\s*:")


def place(text_before: str) -> tuple[int, int]:
    """Line and column, from 1, of what comes after this text."""
    return text_before.count("\n") + 1, len(text_before) - (text_before.rfind("\n") + 1) + 1


def fault_place(text: str) -> tuple[str, int, int]:
    """The first fault of a text that has one and is well-formed otherwise: what it is, line and column."""
    seen: list[set[str]] = []
    for token in islice(_TOKEN.finditer(text), _MOST_TOKENS):
        word = token[0]
        if word in "{[":
            seen.append(set())
        elif word in "}]":
            del seen[-1:]
        if fault := _fault(word, seen, is_key=_COLON.match(text, token.end()) is not None):
            return (fault, *place(text[: token.start()]))
    return ("A key is there twice, or a number cannot be read. The file is too large to say where.", 1, 1)


def _fault(word: str, seen: list[set[str]], *, is_key: bool) -> str:
    if len(seen) > DEEPEST:
        return f"This is nested more than {DEEPEST} levels deep."
    if word[0] == '"':
        return _key_fault(json.loads(word, strict=False), seen) if is_key and seen else ""
    if word.endswith(("NaN", "Infinity")):
        return f"{word} is not JSON."
    if word[0] in "-0123456789":
        return _number_fault(word)
    return ""


def _key_fault(key: str, seen: list[set[str]]) -> str:
    if key in seen[-1]:
        return f"The key “{shown(key[:200])}” is there twice."
    seen[-1].add(key)
    return ""


def _number_fault(word: str) -> str:
    if len(word) > _LONGEST_NUMBER or math.isinf(float(word)):
        return "This number is too large."
    return ""
