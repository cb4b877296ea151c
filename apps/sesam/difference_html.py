"""A difference as HTML: rows of two columns, or of one where there is but one side. Everything in it is escaped.

Templates would take seconds for entities of thousands of lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.html import format_html, format_html_join

from apps.sesam.difference import ADDED, CHANGED, REMOVED, SAME, Cell, Difference, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.utils.safestring import SafeString

    from apps.sesam.difference import Section
    from apps.sesam.marks import Part

PLAIN_MOST = 800  # characters of a part that is the same on both sides; the middle of more is left out
MARKED_MOST = 6000  # of a part that differs
DEEPEST = 30  # steps of indentation that the stylesheet knows

_FOLD = '<details class="diff-fold"><summary>… {} line{} the same</summary>{}</details>'
_ROWS = '<div class="diff diff-{}">{}</div>'
_CELL = '<span class="diff-n" data-n="{}"></span><code class="diff-{} diff-d{}">{}{}</code>'
_NONE = '<span class="diff-n"></span><span class="diff-none"></span>'
# Words for those who do not see colours and signs.
_SAID = {
    (CHANGED, "l"): format_html('<span class="dp-visually-hidden">{}</span>', "before: "),
    (CHANGED, "r"): format_html('<span class="dp-visually-hidden">{}</span>', "after: "),
    (REMOVED, "l"): format_html('<span class="dp-visually-hidden">{}</span>', "removed: "),
    (ADDED, "r"): format_html('<span class="dp-visually-hidden">{}</span>', "added: "),
}


def difference_html(found: Difference) -> SafeString:
    """The whole of it, with long runs of equal lines folded."""
    kinds = {row.kind for row in found.rows}
    if len(kinds) == 1 and CHANGED not in kinds:
        return format_html(_ROWS, "one", _rows(found.rows, wide=False))
    return format_html(_ROWS, "two", format_html_join("", "{}", ((_section(part),) for part in found.sections())))


def _section(section: Section) -> SafeString:
    rows = _rows(section.rows, wide=True)
    if not section.folded:
        return rows
    number = len(section.rows)
    return format_html(_FOLD, f"{number:,}", "" if number == 1 else "s", rows)


def _rows(rows: Sequence[Row], *, wide: bool) -> SafeString:
    cells = _both if wide else _either
    return format_html_join("", '<div class="diff-{}">{}</div>', ((row.kind, cells(row)) for row in rows))


def _both(row: Row) -> SafeString:
    left = _NONE_HTML if row.left is None else _cell(row, row.left, "l")
    right = _NONE_HTML if row.right is None else _cell(row, row.right, "r")
    return left + right


def _either(row: Row) -> SafeString:
    if row.left is not None:
        return _cell(row, row.left, "l" if row.kind != SAME else "s")
    return _cell(row, row.right, "r") if row.right is not None else _NONE_HTML


def _cell(row: Row, cell: Cell, side: str) -> SafeString:
    parts = format_html_join("", "{}", _parts(cell.parts))
    return format_html(
        _CELL, cell.number, side, min(cell.depth, DEEPEST), _SAID.get((row.kind, side), ""), _indented(cell, parts)
    )


def _indented(cell: Cell, parts: SafeString) -> SafeString:
    """With its spaces, so that what is copied is indented; a phone hides them and indents by less."""
    if not cell.depth:
        return parts
    return format_html('<span class="diff-i">{}</span>{}', "  " * cell.depth, parts)


def _parts(parts: Sequence[Part]) -> Iterator[tuple[SafeString | str]]:
    for text, differs in parts:
        shown = _shortened(text, MARKED_MOST if differs else PLAIN_MOST)
        yield (format_html("<mark>{}</mark>", shown) if differs else shown,)


def _shortened(text: str, most: int) -> SafeString | str:
    """The beginning and the end of a long text, and how much is left out."""
    if len(text) <= most:
        return text
    kept = most // 2
    left_out = f" {len(text) - 2 * kept:,} characters "
    return format_html('{}<span class="diff-cut">…{}…</span>{}', text[:kept], left_out, text[-kept:])


_NONE_HTML = format_html(_NONE + "{}", "")
