"""A comparison of two jobs: as text, as Markdown for a pull request, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightsizer.compared import Compared, Matched
from rightsizer.comparing import Comparison
from rightsizer.report.cells import Columns, Lines, table_text, table_with_words, width_of
from rightsizer.report.comparison_answer import answer, name_of, reasons, shared_of, words_of
from rightsizer.report.layout import aligned, filled
from rightsizer.report.markdown import escaped, markdown_table
from rightsizer.report.shared import shared_line
from rightsizer.units import ABSENT, significant

SCHEMA = "rightsizer/comparison/1"
HEADERS = (
    "Pair",
    "Candidate",
    "Verdict",
    "CostRatio",
    "CostRatioCI",
    "MaxA",
    "MaxB",
    "Starts",
    "CouldSee",
)
MARKDOWN_HEADERS = (
    "Pair",
    "Candidate",
    "B is",
    "Cost, B / A",
    "95 % interval",
    "Max/min A",
    "Max/min B",
    "Starts",
    "Smallest difference seen",
)


def comparison_document(found: Compared) -> dict[str, Any]:
    """The JSON document; numbers unrounded."""
    return {
        "schema": SCHEMA,
        "verdict": found.verdict,
        "paired": found.is_paired,
        "basis": found.basis,
        "job_a": found.job_a.id,
        "job_b": found.job_b.id,
        "host_moved_ratio": found.moved_ratio,
        "fail_on_regression_ratio": found.fail_on_regression_ratio,
        "regressions": len(found.regressions),
        "notes": list(found.notes),
        "pairs": [_pair_document(pair) for pair in found.pairs],
    }


def _pair_document(pair: Matched) -> dict[str, Any]:
    comparison = pair.comparison
    maxima = pair.max_invocations_per_min or (None, None)
    sides = zip(pair.instance_types, pair.environments, maxima, strict=True)
    a, b = (
        {
            "instance_type": name,
            "environment": dict(environment),
            "max_invocations_per_min": maximum,
        }
        for name, environment, maximum in sides
    )
    return {
        "a": a,
        "b": b,
        "verdict": comparison.verdict,
        "cost_ratio": comparison.ratio,
        "cost_ratio_ci": comparison.ratio_ci,
        "detectable_ratio": comparison.detectable_ratio,
        "starts": comparison.starts,
        "why": comparison.why,
    }


def comparison_text(found: Compared, width: int | None = None) -> str:
    """A table, the reasons of what is inconclusive, and the answer in a sentence.

    `width` is the terminal's; None where there is none: then a pair is one line, with its whole
    environment.
    """
    shared = shared_of(found)
    parts = [_table(found, shared, width)]
    parts += [[shared_line(shared, width)]] if shared else []
    said = [*reasons(found), *found.notes]
    parts += [[_filled(line, width) for line in said]] if said else []
    parts.append([_filled(answer(found), width)])
    return "\n\n".join("\n".join(lines) for lines in parts)


def comparison_markdown(found: Compared) -> str:
    """A heading with the answer, the table, and the reasons of what is inconclusive."""
    shared = shared_of(found)
    rows = [[*_numbered(n, pair, shared), *_cells(pair)] for n, pair in enumerate(found.pairs, 1)]
    how = "measured in turn, on shared arrivals and payloads" if found.is_paired else "stored jobs"
    said = [*reasons(found), *found.notes]
    blocks = [
        f"**{escaped(answer(found))}**",
        markdown_table(MARKDOWN_HEADERS, rows),
        escaped(shared_line(shared)),
        "\n".join(f"- {escaped(line)}" for line in said),
        f"A: `{found.job_a.id}`, B: `{found.job_b.id}`; {found.basis} basis, {how}. "
        "Cost is that of an inference; intervals hold together.",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _table(found: Compared, shared: Mapping[str, str], width: int | None) -> list[str]:
    if width is None:
        rows = [[*_numbered(n, pair, {}), *_cells(pair)] for n, pair in enumerate(found.pairs, 1)]
        return aligned(HEADERS, rows)
    columns = _columns(found, shared)
    if width_of(columns) <= width:
        return [table_text(columns, width)]
    names = [words_of(pair, shared) for pair in found.pairs]
    return [table_with_words([columns[0], *columns[2:]], names, width)]


def _columns(found: Compared, shared: Mapping[str, str]) -> Columns:
    """As a terminal shows them: figures of one kind below each other."""
    cost, maxima, starts = "Cost, B / A\n95 % CI", "Max/min A\nof B", "Starts\ncould see"
    heads = ("#", "Candidate", "B is", cost, maxima, starts)
    columns: Columns = [[_lines(head, "bold")] for head in heads]
    for number, pair in enumerate(found.pairs, 1):
        verdict, *figures = _cells(pair)
        below = ["\n".join(two) for two in zip(figures[::2], figures[1::2], strict=True)]
        cells = [*_numbered(number, pair, shared), verdict, *below]
        for column, cell in zip(columns, cells, strict=True):
            column.append(_lines(cell, ""))
    return columns


def _lines(cell: str, style: str) -> Lines:
    """The first line in its style, those below it dim."""
    return [(line, style if not number else "dim") for number, line in enumerate(cell.split("\n"))]


def _filled(line: str, width: int | None) -> str:
    return line if width is None else filled(line, width, "", "    ")


def _cells(pair: Matched) -> list[str]:
    comparison = pair.comparison
    maxima = pair.max_invocations_per_min
    a, b = (ABSENT, ABSENT) if maxima is None else map(significant, maxima)
    return [
        comparison.verdict,
        ABSENT if comparison.ratio is None else f"{comparison.ratio:.3f}",
        _interval(comparison),
        a,
        b,
        str(comparison.starts),
        ABSENT
        if comparison.detectable_ratio is None
        else f"{100 * (comparison.detectable_ratio - 1):.1f} %",
    ]


def _interval(comparison: Comparison) -> str:
    if comparison.ratio_ci is None:
        return ABSENT
    low, high = comparison.ratio_ci
    return f"{low:.3f} to {high:.3f}"


def _numbered(number: int, pair: Matched, shared: Mapping[str, str]) -> list[str]:
    return [str(number), name_of(pair, shared)]
