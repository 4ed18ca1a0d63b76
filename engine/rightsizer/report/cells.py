"""Tables on a terminal: cells of several lines, of which some columns may fold to fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from rich import box
from rich.table import Table
from rich.text import Text

from rightsizer.report.layout import drawn, filled, folded

GAP = 2
INDENT = "   "
MIN_FOLDED = 15
"""What a column that folds is never made narrower than."""

Lines = list[tuple[str, str]]
"""A cell: (text, style) of each of its lines."""
Columns = list[list[Lines]]
"""Column by column, the header first."""


def widths_of(columns: Columns) -> list[int]:
    """What each column needs."""
    return [max(len(text) for cell in column for text, _ in cell) for column in columns]


def width_of(columns: Columns) -> int:
    """What the whole table needs."""
    widths = widths_of(columns)
    return sum(widths) + GAP * (len(widths) - 1)


def fold(columns: Columns, rooms: Mapping[int, int]) -> Columns:
    """The columns at these places folded to these widths."""
    return [
        [_folded(cell, rooms[i]) for cell in column] if i in rooms else column
        for i, column in enumerate(columns)
    ]


def fold_one(columns: Columns, place: int, width: int) -> Columns:
    """One column folded to what the others leave of a width."""
    room = widths_of(columns)[place] + width - width_of(columns)
    return fold(columns, {place: max(MIN_FOLDED, room)})


def table_text(columns: Columns, width: int) -> str:
    """The table as text; where it is too wide the terminal may wrap it: no figure is ever cut."""
    return drawn(_table(columns), max(width, width_of(columns)))


def table_with_words(columns: Columns, words: Sequence[Sequence[str]], width: int) -> str:
    """The table with words of each row below it, over the whole width: no word that fits is broken.

    A row's lines are as many as its deepest cell has, and rows of several lines stand apart.
    """
    header, *heights = [max(map(len, cells)) for cells in zip(*columns, strict=True)]
    lines = iter(table_text(columns, width).splitlines())
    parts = ["\n".join(islice(lines, header + 1))]  # and its rule
    for height, own in zip(heights, words, strict=True):
        below = [filled(" ".join(own), width, INDENT, INDENT)] if own else []
        gap = [""] if parts[1:] else []
        parts.append("\n".join([*gap, *islice(lines, height), *below]))
        if max(heights) > 1:
            next(lines, None)
    return "\n".join(parts)


def _folded(cell: Lines, width: int) -> Lines:
    return [(part, style) for text, style in cell for part in folded(text, width)]


def _table(columns: Sequence[Sequence[Lines]]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, GAP - 1, 0, 0),
        pad_edge=False,
        # Rows of several lines stand apart.
        leading=int(any(len(cell) > 1 for column in columns for cell in column[1:])),
    )
    deepest = max(len(column[0]) for column in columns)
    for column in columns:
        # Filled up to one height, for rich sets headers at the bottom.
        header = [*column[0], *[("", "")] * (deepest - len(column[0]))]
        table.add_column(_text(header), no_wrap=True)
    for cells in zip(*(column[1:] for column in columns), strict=True):
        table.add_row(*(_text(cell) for cell in cells))
    return table


def _text(cell: Lines) -> Text:
    return Text("\n").join(Text(text, style) for text, style in cell)
