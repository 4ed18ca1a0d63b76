"""The recommendations on a terminal: the widest form that fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rightsizer.candidates import differing
from rightsizer.recommendation import Recommendation
from rightsizer.report.cells import (
    MIN_FOLDED,
    Columns,
    Lines,
    fold,
    fold_one,
    table_text,
    table_with_words,
    width_of,
    widths_of,
)
from rightsizer.report.columns import fleet_interval, price_basis
from rightsizer.report.entries import DOUBTS_A_ROW, worst_first
from rightsizer.report.layout import own_command, variables
from rightsizer.results import Job, reference_row
from rightsizer.units import chance, hourly_usd, milliseconds, significant, usd

_STYLES = {"blocks": "red", "weakens": "yellow", "note": "dim"}

Cell = Callable[[Job, Recommendation], Lines]


def terminal_table(job: Job, shared: Mapping[str, str], width: int) -> str:
    """One column a figure where that fits, else figures of one kind below each other.

    `shared`: variables that all candidates have in common; no row shows them.
    """
    percentile = job.recommendations[0].percentile
    wide, stacked = _wide(percentile, shared), _stacked(percentile, shared)
    if any(row.p_best is not None for row in job.recommendations):
        wide.insert(1, (_head("Best"), lambda job, row: [(chance(row.p_best), ""), *_tie(row)]))
        stacked.insert(2, (_head("Best"), lambda job, row: [(chance(row.p_best), ""), *_tie(row)]))
    for columns in (wide, wide[:-1]):
        cells = _cells(job, columns)
        if width_of(cells) <= width:
            return table_text(cells, width)
    cells = _cells(job, stacked)
    if _fits_beside(cells, width):
        return table_text(_fitted(cells, width), width)
    words = [_settings(row, shared) for row in job.recommendations]
    cells[1] = [cells[1][0], *(cell[:1] for cell in cells[1][1:])]
    return table_with_words(_fitted(cells, width), words, width)


def _wide(percentile: str, shared: Mapping[str, str]) -> list[tuple[Lines, Cell]]:
    return [
        (_head("#"), lambda job, row: [(str(row.rank), "")]),
        (_head("Instance type"), lambda job, row: [(row.instance_type, _lead(row))]),
        (_head("Count"), lambda job, row: [(str(row.fleet.instance_count), "")]),
        (_head("Environment"), lambda job, row: _environment(row, shared)),
        (_head("Max/min"), lambda job, row: [(_maximum(row), "bold")]),
        (_head("95 % CI"), lambda job, row: [(fleet_interval(row), "")]),
        (_head("Basis"), lambda job, row: [(_basis(row), "")]),
        (
            _head(f"Latency {percentile}"),
            lambda job, row: [(milliseconds(row.model_latency_ms), "")],
        ),
        (_head("Cost/hour"), lambda job, row: [(hourly_usd(row.fleet.cost_per_hour_usd), "")]),
        (_head("Cost/million"), lambda job, row: [(_million(row), "")]),
        (_head("Price basis"), lambda job, row: [(price_basis(row), "dim")]),
        (_head("Provenance"), lambda job, row: [(row.provenance, "dim")]),
        (_head("Doubts"), lambda job, row: _doubts(row)),
        (_head("Endpoint"), lambda job, row: [(reference_row(job, row)["EndpointName"], "dim")]),
    ]


def _stacked(percentile: str, shared: Mapping[str, str]) -> list[tuple[Lines, Cell]]:
    return [
        (_head("#"), lambda job, row: [(str(row.rank), "")]),
        (_head("Configuration", "environment"), lambda job, row: _configuration(row, shared)),
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
            _head("Cost/hour", "/million", "price basis"),
            lambda job, row: [
                (hourly_usd(row.fleet.cost_per_hour_usd), ""),
                (_million(row), ""),
                (price_basis(row), "dim"),
            ],
        ),
        (_head("Doubts"), lambda job, row: _doubts(row)),
    ]


def _head(title: str, *below: str) -> Lines:
    return [(title, "bold"), *((line, "dim") for line in below)]


def _settings(row: Recommendation, shared: Mapping[str, str]) -> list[str]:
    return [*variables(differing(row.environment, shared)), *own_command(row.command)]


def _environment(row: Recommendation, shared: Mapping[str, str]) -> Lines:
    return [(line, "") for line in _settings(row, shared)] or [("-", "dim")]


def _configuration(row: Recommendation, shared: Mapping[str, str]) -> Lines:
    first = f"{row.fleet.instance_count} x {row.instance_type}"
    return [(first, _lead(row)), *((line, "") for line in _settings(row, shared))]


def _tie(row: Recommendation) -> Lines:
    return [("tied", "dim")] if row.tied_with_best else []


def _lead(row: Recommendation) -> str:
    return "bold green" if row.rank == 1 else "bold"


def _maximum(row: Recommendation) -> str:
    text = significant(row.fleet.max_invocations_per_min)
    return f"at least {text}" if row.max_kind == "at_least" else text


def _million(row: Recommendation) -> str:
    """Of a million inferences at full load: `$3.15` reads better than `$3.15e-06`."""
    return usd(row.cost_per_million_inferences_usd)


def _basis(row: Recommendation) -> str:
    return f"{row.basis}, {row.max_kind}" if row.max_kind == "bracket" else row.basis


def _doubts(row: Recommendation) -> Lines:
    shown = worst_first(row.doubts)[:DOUBTS_A_ROW]
    return [(doubt.code, _STYLES[doubt.severity]) for doubt in shown] or [("-", "dim")]


def _cells(job: Job, columns: Sequence[tuple[Lines, Cell]]) -> Columns:
    return [[head, *(cell(job, row) for row in job.recommendations)] for head, cell in columns]


def _fits_beside(columns: Columns, width: int) -> bool:
    """Whether the variables, in the second column, fit beside the figures and narrow doubts."""
    widths = widths_of(columns)
    return width_of(columns) - widths[-1] + min(MIN_FOLDED, widths[-1]) <= width


def _fitted(columns: Columns, width: int) -> Columns:
    """The stacked columns, configuration and doubts folded to the room that is left.

    Where there is none for both the doubts go: their legend names the rows.
    """
    widths = widths_of(columns)
    free = width - width_of(columns) + widths[1] + widths[-1]
    doubts = max(MIN_FOLDED, min(widths[-1], free - widths[1]))
    if free - doubts < min(MIN_FOLDED, widths[1]):
        return fold_one(columns[:-1], 1, width)
    return fold(columns, {1: free - doubts, len(columns) - 1: doubts})
