"""Variables that differ, as a table shows them: both values, with the words that differ marked. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.html import format_html, format_html_join

from apps.sesam.json_layout import laid_out
from apps.sesam.marks import Marker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.utils.safestring import SafeString

    from apps.sesam.marks import Parts
    from apps.sesam.plan import VariableChange

ROWS_MOST = 500
VALUE_MOST = 4000  # characters of one value


@dataclass(frozen=True, kw_only=True)
class VariableRow:
    """`before` and `after` are HTML; empty on the side that has no such variable."""

    name: str
    move: str
    before: SafeString | str
    after: SafeString | str


def variable_rows(changes: Sequence[VariableChange]) -> list[VariableRow]:
    """The first so many."""
    marker = Marker()
    return [_row(change, marker) for change in changes[:ROWS_MOST]]


def _row(change: VariableChange, marker: Marker) -> VariableRow:
    before = "" if change.move == "new" else _cut(laid_out(change.before))
    after = "" if change.move == "removed" else _cut(laid_out(change.after))
    left, right = marker.marked(before, after) if before and after else (((before, False),), ((after, False),))
    return VariableRow(name=change.name, move=change.move, before=_html(left), after=_html(right))


def _cut(text: str) -> str:
    return text if len(text) <= VALUE_MOST else f"{text[:VALUE_MOST]}… ({len(text) - VALUE_MOST:,} more characters)"


def _html(parts: Parts) -> SafeString:
    return format_html_join(
        "", "{}", ((format_html("<mark>{}</mark>", text) if differs else text,) for text, differs in parts)
    )
