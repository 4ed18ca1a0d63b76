"""The recommendations on a terminal: the widest form that fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from rightsizer.recommendation import Recommendation
from rightsizer.report.columns import fleet_interval, price_basis
from rightsizer.report.entries import DOUBTS_A_ROW, worst_first
from rightsizer.report.layout import drawn, folded, variables
from rightsizer.results import Job, reference_row
from rightsizer.units import milliseconds, significant, usd

GAP = 2
MIN_FOLDED = 15
"""What a column that folds is never made narrower than."""

_STYLES = {"blocks": "red", "weakens": "yellow", "note": "dim"}

Lines = list[tuple[str, str]]
"""A cell: (text, style) of each of its lines."""
Cell = Callable[[Job, Recommendation], Lines]


def terminal_table(job: Job, width: int) -> str:
    """One column a figure where that fits, else figures of one kind below each other."""
    percentile = job.recommendations[0].percentile
    for columns in (_wide(percentile), _wide(percentile)[:-1]):
        cells = _cells(job, columns)
        if _total(_widths(cells)) <= width:
            return drawn(_table(cells), width)
    cells = _fitted(_cells(job, _stacked(percentile)), width)
    # Where even that is too wide the terminal may wrap it: no figure is ever cut.
    return drawn(_table(cells), max(width, _total(_widths(cells))))


def _wide(percentile: str) -> list[tuple[Lines, Cell]]:
    return [
        (_head("#"), lambda job, row: [(str(row.rank), "")]),
        (_head("Instance type"), lambda job, row: [(row.instance_type, _lead(row))]),
        (_head("Count"), lambda job, row: [(str(row.fleet.instance_count), "")]),
        (_head("Environment"), lambda job, row: _environment(row)),
        (_head("Max/min"), lambda job, row: [(_maximum(row), "bold")]),
        (_head("95 % CI"), lambda job, row: [(fleet_interval(row), "")]),
        (_head("Basis"), lambda job, row: [(_basis(row), "")]),
        (
            _head(f"Latency {percentile}"),
            lambda job, row: [(milliseconds(row.model_latency_ms), "")],
        ),
        (_head("Cost/hour"), lambda job, row: [(usd(row.fleet.cost_per_hour_usd), "")]),
        (_head("Cost/inference"), lambda job, row: [(usd(row.cost_per_inference_usd), "")]),
        (_head("Price basis"), lambda job, row: [(price_basis(row), "dim")]),
        (_head("Provenance"), lambda job, row: [(row.provenance, "dim")]),
        (_head("Doubts"), lambda job, row: _doubts(row)),
        (_head("Endpoint"), lambda job, row: [(reference_row(job, row)["EndpointName"], "dim")]),
    ]


def _stacked(percentile: str) -> list[tuple[Lines, Cell]]:
    return [
        (_head("#"), lambda job, row: [(str(row.rank), "")]),
        (_head("Configuration", "environment"), lambda job, row: _configuration(row)),
        (
            _head("Max/min", "95 % CI", "basis"),
            lambda job, row: [
                (_maximum(row), "bold"),
                (fleet_interval(row), ""),
                (_basis(row), "dim"),
            ],
        ),
        (
            _head(percentile, "provenance"),
            lambda job, row: [(milliseconds(row.model_latency_ms), ""), (row.provenance, "dim")],
        ),
        (
            _head("Cost/hour", "/inference", "price basis"),
            lambda job, row: [
                (usd(row.fleet.cost_per_hour_usd), ""),
                (usd(row.cost_per_inference_usd), ""),
                (price_basis(row), "dim"),
            ],
        ),
        (_head("Doubts"), lambda job, row: _doubts(row)),
    ]


def _head(title: str, *below: str) -> Lines:
    return [(title, "bold"), *((line, "dim") for line in below)]


def _environment(row: Recommendation) -> Lines:
    return [(line, "") for line in variables(row.environment)] or [("-", "dim")]


def _configuration(row: Recommendation) -> Lines:
    first = f"{row.fleet.instance_count} x {row.instance_type}"
    return [(first, _lead(row)), *((line, "") for line in variables(row.environment))]


def _lead(row: Recommendation) -> str:
    return "bold green" if row.rank == 1 else "bold"


def _maximum(row: Recommendation) -> str:
    text = significant(row.fleet.max_invocations_per_min)
    return f"at least {text}" if row.max_kind == "at_least" else text


def _basis(row: Recommendation) -> str:
    return f"{row.basis}, {row.max_kind}" if row.max_kind == "bracket" else row.basis


def _doubts(row: Recommendation) -> Lines:
    shown = worst_first(row.doubts)[:DOUBTS_A_ROW]
    return [(doubt.code, _STYLES[doubt.severity]) for doubt in shown] or [("-", "dim")]


def _cells(job: Job, columns: Sequence[tuple[Lines, Cell]]) -> list[list[Lines]]:
    """Column by column, the header first."""
    return [[head, *(cell(job, row) for row in job.recommendations)] for head, cell in columns]


def _widths(columns: Sequence[Sequence[Lines]]) -> list[int]:
    return [max(len(text) for cell in column for text, _ in cell) for column in columns]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _fitted(columns: list[list[Lines]], width: int) -> list[list[Lines]]:
    """The stacked columns, configuration and doubts folded to the room that is left.

    Where there is none for both the doubts go: their legend names the rows.
    """
    widths = _widths(columns)
    free = width - _total(widths) + widths[1] + widths[-1]
    doubts = max(MIN_FOLDED, min(widths[-1], free - widths[1]))
    if free - doubts >= MIN_FOLDED:
        folds = {1: free - doubts, len(columns) - 1: doubts}
    else:
        columns, folds = columns[:-1], {1: max(MIN_FOLDED, free + GAP)}
    return [
        [_folded(cell, folds[i]) for cell in column] if i in folds else column
        for i, column in enumerate(columns)
    ]


def _folded(cell: Lines, width: int) -> Lines:
    return [(part, style) for text, style in cell for part in folded(text, width)]


def _table(columns: Sequence[Sequence[Lines]]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, GAP - 1, 0, 0),
        pad_edge=False,
        leading=1,
    )
    deepest = max(len(column[0]) for column in columns)
    for column in columns:
        # Filled up to one height, for rich sets headers at the bottom.
        filled = [*column[0], *[("", "")] * (deepest - len(column[0]))]
        table.add_column(_text(filled), no_wrap=True)
    for cells in zip(*(column[1:] for column in columns), strict=True):
        table.add_row(*(_text(cell) for cell in cells))
    return table


def _text(cell: Lines) -> Text:
    return Text("\n").join(Text(text, style) for text, style in cell)
